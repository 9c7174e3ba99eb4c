cp /etc/ready /app/copy
