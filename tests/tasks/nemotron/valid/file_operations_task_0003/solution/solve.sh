touch /x
