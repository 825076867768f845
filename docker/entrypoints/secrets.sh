#!/bin/sh
# secrets.sh FOLDER: make the secrets that are missing there; those that are there stay.
#
# The folder is its owner's alone. The files in it are readable for all: containers see them under their own user,
# one file each, and Compose cannot change whom a file belongs to.
set -eu
folder=$1
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres mlflow_db prefect_db tuning_db s3_access s3_secret mlflow_admin mlflow_worker mlflow_flask \
    prefect_auth; do
    file=$folder/$name
    [ -s "$file" ] && continue
    value=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    case $name in
        s3_access) value=synaug ;;
        prefect_auth) value=admin:$value ;;
    esac
    printf %s "$value" >"$file.new"
    chmod 444 "$file.new"
    mv "$file.new" "$file"
done
