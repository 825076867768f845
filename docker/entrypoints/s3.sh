#!/bin/sh
# versitygw: S3 on top of a folder. The image has a busybox shell.
set -eu
. "$(dirname "$0")/lib.sh"
for name in ROOT_ACCESS_KEY ROOT_SECRET_KEY; do
    secret $name
    needed $name
done
# Releases since 1.7 read these names.
export ROOT_ACCESS_KEY_ID="$ROOT_ACCESS_KEY" ROOT_SECRET_ACCESS_KEY="$ROOT_SECRET_KEY"
PATH=$PATH:/app
exec versitygw --port :7070 --region us-east-1 --health /health posix /data
