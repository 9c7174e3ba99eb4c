touch /app/empty
