wc -l </etc/passwd >/app/count
