#!/bin/bash
no-such-program-to-test-with /tests
