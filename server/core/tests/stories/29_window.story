# A death just as long ago as the window still counts.
policy workers=1..1 deaths=2 start-timeout=120s
0ms    start                  -> spawn 0.1 g0
1s     exit 0.1
1100ms wait                   -> spawn 0.2 g0
61s    exit 0.2               -> report SlotFatal 0, report GenerationFatal g0
