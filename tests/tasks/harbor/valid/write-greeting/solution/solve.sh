echo good morning >/app/greeting.txt
