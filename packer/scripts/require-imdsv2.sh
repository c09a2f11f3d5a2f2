#!/usr/bin/env bash
# Marks the image so that its instances answer IMDSv2 alone, whatever launches them. Run by Packer after the build, on the
# machine that runs Packer, with its credentials; needs awscli and jq there, and ec2:ModifyImageAttribute.
#   require-imdsv2.sh [MANIFEST]
set -euo pipefail

# REGION:IMAGE, one for each region that the image was copied to.
images=$(jq --raw-output '.last_run_uuid as $run | .builds[] | select(.packer_run_uuid == $run) | .artifact_id' \
    "${1:-packer-manifest.json}" | tr ',' '\n')
[[ -n $images ]] || { echo "require-imdsv2.sh: the manifest names no image" >&2; exit 1; }
while IFS=: read -r region image; do
    aws --region "$region" ec2 modify-image-attribute --image-id "$image" --attribute imdsSupport --value v2.0
    echo "$image in $region: IMDSv2 required"
done <<<"$images"
