# A pool that had given up is drained and resumed: it tries again.
policy workers=1..1 deaths=1
0ms    start                  -> spawn 0.1 g0
1s     exit 0.1               -> report SlotFatal 0, report GenerationFatal g0
2s     submit 1 client=1      -> refuse 1 Fatal
3s     drain 1s               -> halt
4s     wait
5s     resume                 -> spawn 0.2 g0
6s     submit 2 client=1
7s     ready 0.2              -> assign 2 0.2
