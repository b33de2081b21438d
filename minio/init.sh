#!/bin/sh
# Gives a MinIO its bucket `lake` and the user that Sluice signs in as, who may do only what policy.json says.
# Runs once in the compose file, and again without harm. Needs `mc` and these variables:
#   MINIO_URL, MINIO_ROOT_USER, MINIO_ROOT_PASSWORD, SLUICE_S3_ACCESS_KEY, SLUICE_S3_SECRET_KEY
set -eu
here=$(dirname "$0")

mc --quiet alias set lake "$MINIO_URL" "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD"
mc --quiet mb --ignore-existing lake/lake
mc --quiet admin policy create lake sluice "$here/policy.json"
mc --quiet admin user add lake "$SLUICE_S3_ACCESS_KEY" "$SLUICE_S3_SECRET_KEY"
# attaching a policy that is attached already is refused: that is the state wanted
mc --quiet admin policy attach lake sluice --user "$SLUICE_S3_ACCESS_KEY" ||
  mc admin user info lake "$SLUICE_S3_ACCESS_KEY" | grep -q sluice
