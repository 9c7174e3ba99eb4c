sed -i -f /app/scythe /app/field
