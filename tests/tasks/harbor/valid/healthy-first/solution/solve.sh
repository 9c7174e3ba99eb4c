cp /etc/ready "/app/$NAME"
