#!/bin/bash
if [ -f /srv/x ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
