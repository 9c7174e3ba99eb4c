touch /app/a
