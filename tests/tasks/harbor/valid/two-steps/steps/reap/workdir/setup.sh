#!/bin/bash
cp blunt.txt scythe
