#!/bin/bash
if [ "$(cat /app/out/page)" = "$EXPECTED" ] && [ "$(cat /logs/artifacts/listing)" = page ] && [ ! -e /app/secret ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
