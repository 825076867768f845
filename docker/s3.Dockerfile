# versitygw with a folder that its user may write, and the secrets from files. Build from the repository's root.
FROM versity/versitygw:v1.8.0
RUN mkdir -p /data && chown 10001:10001 /data
COPY docker/entrypoints/lib.sh docker/entrypoints/s3.sh /opt/entrypoints/
USER 10001:10001
ENTRYPOINT ["/bin/sh", "/opt/entrypoints/s3.sh"]
