"""Gives the tests' MinIO its bucket and the user that Sluice signs in as: minio_access.py POLICY.

Does what minio/init.sh does in the compose file, with the same policy: the tests prove that it is enough.
"""

import os
import sys

import minio
from minio.credentials import StaticProvider

endpoint = os.environ["MINIO_ENDPOINT"].removeprefix("http://")
root = StaticProvider(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
where = {"endpoint": endpoint, "credentials": root, "region": os.environ["AWS_REGION"], "secure": False}
bucket, user = os.environ["MINIO_BUCKET"], os.environ["AWS_ACCESS_KEY_ID"]

client = minio.Minio(**where)
if not client.bucket_exists(bucket):
    client.make_bucket(bucket)

admin = minio.MinioAdmin(**where)
admin.policy_add("sluice", policy_file=sys.argv[1])
admin.user_add(user, os.environ["AWS_SECRET_ACCESS_KEY"])
admin.policy_set("sluice", user=user)
