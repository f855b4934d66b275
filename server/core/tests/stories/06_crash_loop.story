# Early deaths are answered with longer and longer pauses, then with FATAL. Restart is the way back.
policy workers=1..1
0ms    start                  -> spawn 0.1 g0
10ms   submit 1 client=1
10ms   exit 0.1
       see 0=BACKOFF
       next 110ms
110ms  wait                   -> spawn 0.2 g0
120ms  spawn-failed 0.2
       next 320ms
320ms  wait                   -> spawn 0.3 g0
330ms  exit 0.3
730ms  wait                   -> spawn 0.4 g0
740ms  exit 0.4
1540ms wait                   -> spawn 0.5 g0
1550ms exit 0.5               -> report SlotFatal 0, report GenerationFatal g0, refuse 1 Fatal
       see 0=FATAL phase=Fatal
       next never
1600ms submit 2 client=1      -> refuse 2 Fatal
2s     restart                -> spawn 0.6 g0
       see 0=STARTING phase=Serving
3s     ready 0.6
4s     submit 3 client=1      -> assign 3 0.6
# Proved now. Death in mid-call is the call's fault: no pause.
5s     exit 0.6               -> fail 3 WorkerDied, spawn 0.7 g0
6s     ready 0.7
# Unused and young: early. The pause begins at 100 ms again, shortened by the dice when there are any.
7s     exit 0.7
7100ms wait                   -> spawn 0.8 g0
8s     ready 0.8
# Old enough: not early.
30s    exit 0.8               -> spawn 0.9 g0
