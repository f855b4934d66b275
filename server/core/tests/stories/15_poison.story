# A call that killed a worker twice is not tried a third time.
policy workers=1..1 quarantine=100s
0ms    start                    -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1 key=5  -> assign 1 0.1
3s     exit 0.1                 -> fail 1 WorkerDied, spawn 0.2 g0
4s     ready 0.2
5s     submit 2 client=1 key=5  -> assign 2 0.2
5s     submit 3 client=1 key=5
6s     exit 0.2                 -> fail 2 WorkerDied, report Quarantined 5, spawn 0.3 g0
# It was in the line before it was known.
7s     ready 0.3                -> refuse 3 Quarantined
8s     submit 4 client=1 key=5  -> refuse 4 Quarantined
9s     submit 5 client=1 key=6  -> assign 5 0.3
10s    finish 0.3 5             -> answer 5
# For a time; then it has to prove itself again.
106s   submit 6 client=1 key=5  -> assign 6 0.3
107s   finish 0.3 6             -> answer 6
       see struck=0
# A strike, then an answer: innocent.
108s   submit 7 client=1 key=9  -> assign 7 0.3
109s   exit 0.3                 -> fail 7 WorkerDied, spawn 0.4 g0
110s   ready 0.4
111s   submit 8 client=1 key=9  -> assign 8 0.4
112s   finish 0.4 8             -> answer 8
113s   submit 9 client=1 key=9  -> assign 9 0.4
114s   exit 0.4                 -> fail 9 WorkerDied, spawn 0.5 g0
       see struck=1
# We killed it, not the call.
115s   ready 0.5
116s   submit 10 client=1 key=9 deadline=1s -> assign 10 0.5
117s   wait                     -> interrupt 10 0.5, fail 10 DeadlineExceeded
119s   wait                     -> kill 0.5 Overdue 10
120s   exit 0.5                 -> spawn 0.6 g0
       see struck=1
