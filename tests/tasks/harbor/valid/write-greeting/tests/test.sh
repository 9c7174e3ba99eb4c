#!/bin/bash
if grep -qx "good morning" /app/greeting.txt; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
