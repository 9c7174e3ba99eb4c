#!/bin/bash
if grep -qx seed /app/field; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
