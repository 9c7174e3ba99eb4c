[ "$TIDE" = low ] && [ "$(cat /app/count)" = "$(wc -l </etc/passwd)" ]
