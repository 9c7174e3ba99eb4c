#!/bin/bash
if sort -u /app/names.txt | cmp -s - /app/sorted.txt; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
