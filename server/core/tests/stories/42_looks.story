# An idle worker that stays is looked at when one of its limits is reached, and then again and again.
policy workers=1..1 idle=10s scale-down=20s
0ms    start                      -> spawn 0.1 g0
1s     ready 0.1
       next 11s
12s    abandon 99
       next 21s
22s    abandon 99
       next 31s
