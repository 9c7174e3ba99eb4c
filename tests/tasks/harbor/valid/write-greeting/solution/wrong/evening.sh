echo good evening >/app/greeting.txt
