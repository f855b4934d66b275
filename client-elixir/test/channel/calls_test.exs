defmodule Sidewinder.ChannelTest do
  @moduledoc "Calls through a channel, against a server that does what the test says."
  use ExUnit.Case, async: true
  import Sidewinder.Asking
  import Sidewinder.Bytes, except: [answer: 3, answer: 4, fields: 4]
  alias Sidewinder.{Channel, Peer}
  alias Sidewinder.Connection.Calls
  alias Sidewinder.Wire.{H2, Status}

  @path Sidewinder.Asking.path()

  setup do
    {listener, address} = Peer.listen()
    %{listener: listener, address: address}
  end

  test "a call carries what gRPC asks for, and its answer what came with it", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    metadata = [{"x-name", "value"}, {"x-bytes-bin", <<0, 255>>}, {"authorization", "secret"}]
    call = ask(channel, ["he", "llo"], deadline: soon(60_000), metadata: metadata)
    {1, fields, body, peer} = Peer.request(peer)
    assert body == message("hello")

    assert %{
             ":method" => "POST",
             ":scheme" => "http",
             ":path" => @path,
             ":authority" => "localhost",
             "te" => "trailers",
             "content-type" => "application/grpc",
             "x-name" => "value",
             "x-bytes-bin" => "AP8",
             "authorization" => "secret",
             "grpc-timeout" => timeout
           } = fields

    assert {left, "m"} = Integer.parse(timeout)
    assert left in 50_000..60_000
    {head, table} = Sidewinder.Bytes.fields(1, begun() ++ [{"x-early", "1"}], false, peer.answered)
    trailers = [{"grpc-status", "0"}, {"x-late-bin", Base.encode64("late")}]
    {tail, _} = Sidewinder.Bytes.fields(1, trailers, true, table)
    Peer.say(peer, [head, data(1, message("world")), tail])
    assert Task.await(call) == {:ok, "world", [{"x-late-bin", "late"}]}
  end

  test "a status says what happened, with details", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    details = Base.encode64(<<1, 2, 3>>, padding: false)
    fields = [{"grpc-status", "9"}, {"grpc-message", "not%20now %C3%A4"}, {"grpc-status-details-bin", details}]
    Peer.fields(peer, 1, begun() ++ fields ++ [{"x-more", "1"}], true)
    assert {:error, status} = Task.await(call)

    assert status == %Status{
             code: 9,
             message: "not now ä",
             details: <<1, 2, 3>>,
             sent: :maybe,
             origin: :peer,
             metadata: [{"x-more", "1"}]
           }
  end

  test "what is no gRPC is told as what it is", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)

    for {fields, code, words} <- [
          {[{":status", "503"}], 14, "HTTP 503"},
          {[{":status", "404"}], 12, "HTTP 404"},
          {[{":status", "401"}], 16, "HTTP 401"},
          {[{":status", "200"}, {"content-type", "text/html"}], 2, "text/html"},
          {[{":status", "200"}], 2, "content-type"},
          {begun(), 2, "without a grpc-status"},
          {begun() ++ [{"grpc-status", "99"}], 2, ""}
        ],
        reduce: peer do
      peer ->
        call = ask(channel, "")
        {id, _, _, peer} = Peer.request(peer)
        peer = Peer.fields(peer, id, fields, true)
        assert {:error, %Status{code: ^code, message: message, sent: :maybe}} = Task.await(call)
        assert message =~ words
        peer
    end
  end

  test "no message, two messages, half a message, a compressed one and one that is too large are errors",
       %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    compressed = <<1, 1::32, "x">>

    for {bytes, code} <- [
          {"", 13},
          {message("a") <> message("b"), 13},
          {<<0, 5::32, "abc">>, 13},
          {compressed, 13},
          {message(:binary.copy("x", 101)), 8}
        ],
        reduce: peer do
      peer ->
        call = ask(channel, "", max_message: 100)
        {id, _, _, peer} = Peer.request(peer)

        peer =
          peer |> Peer.fields(id, begun()) |> Peer.say(data(id, bytes)) |> Peer.fields(id, [{"grpc-status", "0"}], true)

        assert {:error, %Status{code: ^code}} = Task.await(call)
        peer
    end
  end

  test "metadata that cannot travel is refused before anything is sent", %{address: address} do
    channel = channel(address)

    for metadata <- [[{"Upper", "x"}], [{"grpc-x", "x"}], [{"x", "ä"}], [{"te", "x"}], [{"x", 1}], [{":path", "x"}]] do
      assert {:error, %Status{code: 3, sent: :no}} = Channel.unary(channel, @path, "", metadata: metadata)
    end
  end

  test "an answer may come byte by byte, and in large reads its small messages are copied",
       %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    {bytes, table} = Sidewinder.Bytes.answer(1, "slow", peer.answered)
    peer = Peer.say_slowly(%{peer | answered: table}, bytes)
    assert {:ok, "slow", []} = Task.await(call)

    {:ok, stream} = Channel.open(channel, @path, request: "")
    {3, _, _, peer} = Peer.request(peer)
    small = String.duplicate("s", 200)
    peer = peer |> Peer.fields(3, begun()) |> Peer.say(data(3, String.duplicate(message(small), 70)))
    assert {:ok, ^small = got} = Channel.recv(stream)
    assert :binary.referenced_byte_size(got) <= 400
    Channel.cancel(stream)
    assert {{:reset, 3, 8}, _} = Peer.next(peer, [:reset])
  end

  test "an answer that comes in the smallest pieces weighs what it says", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    answer = :rand.bytes(50_000)
    pieces = for <<byte <- message(answer)>>, do: data(1, <<byte>>)
    {most, last} = Enum.split(pieces, 50_000)
    peer = peer |> Peer.fields(1, begun()) |> Peer.say(most)
    # It has read all of that when it answers.
    assert Peer.quiet?(peer, [:fields])
    [connection] = connections(channel)
    :erlang.garbage_collect(connection)
    {:memory, weight} = Process.info(connection, :memory)
    assert weight < 1_000_000, "#{weight} bytes for 50,000"
    peer |> Peer.say(last) |> Peer.fields(1, [{"grpc-status", "0"}], true)
    assert Task.await(call) == {:ok, answer, []}
  end

  describe "deadlines" do
    test "a caller gives up by its own clock, and the server hears of it", %{listener: listener, address: address} do
      channel = channel(address)
      peer = Peer.accept(listener)
      call = ask(channel, "", deadline: soon(200))
      {1, %{"grpc-timeout" => _}, _, peer} = Peer.request(peer)
      assert {:error, %Status{code: 4, sent: :maybe}} = Task.await(call)
      assert {{:reset, 1, 8}, peer} = Peer.next(peer)
      # Late fields and data of that call: the next one is understood all the same.
      peer = Peer.answer(peer, 1, "late", [{"x-new", "1"}])
      call = ask(channel, "")
      {3, _, _, peer} = Peer.request(peer)
      Peer.answer(peer, 3, "good", [{"x-new", "1"}])
      assert {:ok, "good", []} = Task.await(call)
    end

    test "a server that finds the deadline passed first may call it a cancellation", %{
      listener: listener,
      address: address
    } do
      channel = channel(address)
      peer = Peer.accept(listener)
      deadline = soon(300)
      call = ask(channel, "", deadline: deadline)
      {1, _, _, peer} = Peer.request(peer)
      wait_until(deadline - 3)
      peer = Peer.refuse(peer, 1, 1, "Timeout expired")
      assert {:error, %Status{code: 4}} = Task.await(call)
      call = ask(channel, "", deadline: soon(60_000))
      {3, _, _, peer} = Peer.request(peer)
      Peer.refuse(peer, 3, 1, "somebody cancelled")
      assert {:error, %Status{code: 1, message: "somebody cancelled"}} = Task.await(call)
    end

    test "one that has passed sends nothing", %{listener: listener, address: address} do
      channel = channel(address)
      peer = Peer.accept(listener)

      assert {:error, %Status{code: 4, sent: :no}} = Channel.unary(channel, @path, "", deadline: soon(-1))

      assert Peer.quiet?(peer, [:fields, :reset])
    end

    test "a server that reads nothing holds nobody beyond it", %{listener: listener, address: address} do
      channel = channel(address)
      peer = Peer.accept(listener, window: 0x7FFF_FFFF)
      Peer.say(peer, window(0, 0x7FFF_0000))
      large = :binary.copy("x", 20_000_000)
      begun = System.monotonic_time(:millisecond)
      assert {:error, %Status{code: 4}} = Channel.unary(channel, @path, large, deadline: soon(200))
      assert System.monotonic_time(:millisecond) - begun < 2_000
      assert {:error, %Status{code: 4}} = Channel.unary(channel, @path, "small", deadline: soon(200))
    end
  end

  test "a connection that cannot be written to is given up", %{listener: listener, address: address} do
    channel = channel(address, send_timeout: 50)
    peer = Peer.accept(listener, window: 0x7FFF_FFFF)
    Peer.say(peer, window(0, 0x7FFF_0000))
    eventually(fn -> length(connections(channel)) == 1 end)
    [connection] = connections(channel)
    %{socket: %{socket: port}} = :sys.get_state(connection)
    large = ask(channel, :binary.copy("x", 20_000_000))
    # The queue of the socket takes the large message; what comes after it is what cannot be written.
    eventually(fn -> match?({:queue_size, size} when size > 1_000_000, :erlang.port_info(port, :queue_size)) end)
    small = ask(channel, "small")
    assert {:error, %Status{code: 14, sent: :maybe, message: message}} = Task.await(large)
    assert message =~ "writing failed"
    # Of the small one nobody knows, either: it waited behind the other.
    assert {:error, %Status{code: 14, sent: :maybe}} = Task.await(small)
    other = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, other} = Peer.request(other)
    Peer.answer(other, 1, "")
    assert {:ok, "", []} = Task.await(call)
  end

  describe "the line for streams" do
    test "no more calls are open than the server takes, and the others wait for their turn",
         %{listener: listener, address: address} do
      channel = channel(address)
      peer = Peer.accept(listener, streams: 2)
      calls = for number <- 1..6, do: ask(channel, "#{number}")
      {1, _, <<0, 1::32, first::binary>>, peer} = Peer.request(peer)
      {3, _, <<0, 1::32, second::binary>>, peer} = Peer.request(peer)
      assert Peer.quiet?(peer, [:fields])

      {answers, _} =
        Enum.map_reduce([{5, 1, first}, {7, 3, second}], peer, fn {next, id, content}, peer ->
          peer = Peer.answer(peer, id, content)
          {^next, _, <<0, 1::32, content::binary>>, peer} = Peer.request(peer)
          {{next, content}, peer}
        end)

      assert [{5, _}, {7, _}] = answers
      Enum.each(calls, &Task.shutdown(&1, :brutal_kill))
    end

    test "it is bounded", %{listener: listener, address: address} do
      channel = channel(address, max_waiting: 3)
      peer = Peer.accept(listener, streams: 1)
      first = ask(channel, "")
      {1, _, _, _} = Peer.request(peer)
      waiting = for _ <- 1..3, do: ask(channel, "")
      eventually(fn -> load(channel) == 4 end)
      assert {:error, %Status{code: 8, sent: :no, message: message}} = Channel.unary(channel, @path, "")
      assert message =~ "max_waiting"
      Enum.each([first | waiting], &Task.shutdown(&1, :brutal_kill))
      eventually(fn -> load(channel) == 0 end)
    end

    test "a call that is about to expire there is not opened only to be reset", %{listener: listener, address: address} do
      channel = channel(address)
      peer = Peer.accept(listener, streams: 1)
      first = ask(channel, "first")
      {1, _, _, peer} = Peer.request(peer)
      assert {:error, %Status{code: 4}} = Channel.unary(channel, @path, "second", deadline: soon(30))
      doomed = for number <- 1..50, do: ask(channel, "doomed #{number}", deadline: soon(20 + number))
      for call <- doomed, do: assert({:error, %Status{code: 4}} = Task.await(call))
      peer = Peer.answer(peer, 1, "")
      assert {:ok, "", []} = Task.await(first)
      assert Peer.quiet?(peer, [:fields, :reset])
      last = ask(channel, "last")
      assert {3, _, body, _} = Peer.request(peer)
      assert body == message("last")
      Task.shutdown(last, :brutal_kill)
    end

    test "whoever comes to its front too late is told, and not opened" do
      calls = Calls.new({"http", "localhost"}, :counters.new(1, []), 10)
      machine = H2.new(window: 1_000, connection_window: 100_000, fields_max: 1_000) |> H2.receive(settings())
      {_, _, machine} = H2.take(machine)

      begin = fn deadline ->
        ref = :erlang.alias()
        request = %{path: @path, pieces: [], size: 0, fin: true, metadata: [], deadline: deadline, max: 100}
        {calls, machine} = Calls.begin(calls, machine, ref, self(), :unary, request)
        {ref, Calls.none?(calls), map_size(machine.streams)}
      end

      # One millisecond is what is left at most, and what the way there takes at least.
      assert {late, true, 0} = begin.(soon(1))
      assert_received {^late, {:error, %Status{code: 4, sent: :no}}}
      assert {early, false, 1} = begin.(soon(60_000))
      refute_received {^early, _}
    end
  end

  test "a caller that dies cancels its call", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    Task.shutdown(call, :brutal_kill)
    assert {{:reset, 1, 8}, _} = Peer.next(peer)
    eventually(fn -> load(channel) == 0 end)
  end

  test "a caller that dies between its calls, or in the middle of several, leaves none", %{
    listener: listener,
    address: address
  } do
    channel = channel(address)
    peer = Peer.accept(listener)
    test = self()

    caller =
      spawn(fn ->
        send(test, Channel.unary(channel, @path, "first"))
        for _ <- 1..2, do: {:ok, _} = Channel.open(channel, @path, request: "more")
        Process.sleep(:infinity)
      end)

    {1, _, _, peer} = Peer.request(peer)
    peer = Peer.answer(peer, 1, "")
    assert_receive {:ok, "", []}
    {3, _, _, peer} = Peer.request(peer)
    {5, _, _, peer} = Peer.request(peer)
    [connection] = connections(channel)
    # It is watched, and once.
    assert {:monitors, [process: ^caller]} = Process.info(connection, :monitors)
    Process.exit(caller, :kill)
    assert {{:reset, one, 8}, peer} = Peer.next(peer)
    assert {{:reset, other, 8}, _} = Peer.next(peer)
    assert Enum.sort([one, other]) == [3, 5]
    eventually(fn -> load(channel) == 0 end)
    assert %{calls: %{callers: callers, ids: ids}} = :sys.get_state(connection)
    assert {callers, ids} == {%{}, %{}}
  end

  test "a cancelled call leaves nothing in the mailbox of its caller", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    assert {:error, %Status{code: 4}} = Channel.unary(channel, @path, "", deadline: soon(200))
    {1, _, _, peer} = Peer.request(peer)
    peer = Peer.answer(peer, 1, "late")
    call = ask(channel, "")
    {3, _, _, peer} = Peer.request(peer)
    Peer.answer(peer, 3, "")
    Task.await(call)
    assert Process.info(self(), :messages) == {:messages, []}
  end
end
