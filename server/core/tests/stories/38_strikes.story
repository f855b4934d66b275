# A strike just as old as a quarantine is long counts no more, and new code makes everybody innocent.
policy workers=1..1 quarantine=100s
0ms    start                      -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1 key=5    -> assign 1 0.1
3s     exit 0.1                   -> fail 1 WorkerDied, spawn 0.2 g0
4s     ready 0.2
102s   submit 2 client=1 key=5    -> assign 2 0.2
103s   exit 0.2                   -> fail 2 WorkerDied, spawn 0.3 g0
104s   ready 0.3
105s   submit 3 client=1 key=5    -> assign 3 0.3
106s   exit 0.3                   -> fail 3 WorkerDied, report Quarantined 5, spawn 0.4 g0
107s   ready 0.4
108s   submit 4 client=1 key=5    -> refuse 4 Quarantined
109s   reload                     -> stop 0.4 Reload
       see struck=0
110s   exit 0.4                   -> spawn 0.5 g1
111s   ready 0.5                  -> report Renewed g1
112s   submit 5 client=1 key=5    -> assign 5 0.5
