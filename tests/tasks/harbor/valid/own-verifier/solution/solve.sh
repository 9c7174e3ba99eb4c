mkdir -p /app/out
echo done >/app/out/page
touch /app/secret
