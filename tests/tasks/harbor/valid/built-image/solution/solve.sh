touch /srv/x
