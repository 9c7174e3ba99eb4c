#!/bin/bash
[ -f /app/note ] && grep -qx 'by hand' /app/note
