#!/bin/bash
. /tests/wanted
if [ -f "$wanted" ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
