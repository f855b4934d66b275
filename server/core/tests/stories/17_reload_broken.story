# The new generation never comes up: the old lives serve on, and the failure is seen.
policy workers=1..1 headroom=1 deaths=2
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     reload                 -> spawn 1.1 g1
3s     exit 1.1
3100ms wait                   -> spawn 1.2 g1
4s     exit 1.2               -> report SlotFatal 1, report GenerationFatal g1
       see 0=RUNNING/Reload/open 1=FATAL phase=Serving
5s     submit 1 client=1      -> assign 1 0.1
6s     finish 0.1 1           -> answer 1
# The last of them goes: now there is nobody.
7s     exit 0.1
       see phase=Fatal
8s     submit 2 client=1      -> refuse 2 Fatal
9s     reload                 -> spawn 0.2 g2
10s    ready 0.2              -> report Renewed g2
