touch /app/b
