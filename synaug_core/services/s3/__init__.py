"""S3: its client, data sets mirrored from a bucket, single objects. The only package that imports boto3."""
