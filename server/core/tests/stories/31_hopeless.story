# The generation is good, and every slot has given up all the same: nobody waits for what will not come.
policy workers=1..1 deaths=2
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     exit 0.1
2100ms wait                   -> spawn 0.2 g0
3s     exit 0.2               -> report SlotFatal 0
4s     submit 1 client=1      -> refuse 1 Fatal
