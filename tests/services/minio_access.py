"""Gives the tests' MinIO its bucket and the user that Sluice signs in as: minio_access.py POLICY.

Does what minio/init.sh does in the compose file, with the same policy: the tests prove that it is enough.
"""

import os
import sys

import minio
from minio.credentials import StaticProvider

policy = sys.argv[1]
endpoint = os.environ["MINIO_ENDPOINT"].removeprefix("http://")
root = (os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
user = os.environ["AWS_ACCESS_KEY_ID"]

client = minio.Minio(endpoint, *root, secure=False, region=os.environ["AWS_REGION"])
if not client.bucket_exists(os.environ["MINIO_BUCKET"]):
    client.make_bucket(os.environ["MINIO_BUCKET"])

admin = minio.MinioAdmin(endpoint, StaticProvider(*root), region=os.environ["AWS_REGION"], secure=False)
admin.policy_add("sluice", policy_file=policy)
admin.user_add(user, os.environ["AWS_SECRET_ACCESS_KEY"])
admin.policy_set("sluice", user=user)
