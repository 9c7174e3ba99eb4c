#!/bin/bash
pip install -r /tests/test_requirements.txt
pytest /tests/test_outputs.py
if [ $? -eq 0 ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
