defmodule Sidewinder.ConnectionTest do
  @moduledoc "Connections that end, and what becomes of calls: each is executed at most once, and told the truth."
  use ExUnit.Case, async: true
  import Sidewinder.Asking
  import Sidewinder.Bytes, except: [answer: 3, answer: 4, fields: 4]
  alias Sidewinder.{Channel, Counting, Peer}
  alias Sidewinder.Channel.Backoff
  alias Sidewinder.Wire.Status

  @path Sidewinder.Asking.path()

  setup do
    {listener, address} = Peer.listen()
    %{listener: listener, address: address}
  end

  test "a connection is chosen only after the server's settings", %{listener: listener, address: address} do
    channel = channel(address)
    call = ask(channel, "early", deadline: soon(5_000))
    peer = Peer.accept_silently(listener)
    {:preface, peer} = Peer.next(peer, [:preface])
    assert connections(channel) == []
    # Settings in two halves: half of them is none.
    <<half::binary-size(5), rest::binary>> = settings(streams: 10)
    peer = peer |> Peer.say(half)
    assert connections(channel) == []
    peer = Peer.say(peer, rest)
    {1, _, _, peer} = Peer.request(peer)
    Peer.answer(peer, 1, "")
    assert {:ok, "", []} = Task.await(call)
  end

  test "a server without settings is given up, and callers are told", %{listener: listener, address: address} do
    channel = channel(address, connect_timeout: 50)
    call = ask(channel, "")
    Peer.accept_silently(listener)
    assert {:error, %Status{code: 14, sent: :no, message: message}} = Task.await(call)
    assert message =~ "no SETTINGS"
  end

  test "nobody there: told at once, or after as long as one likes to wait" do
    channel = channel({:unix, "/nowhere/at/all.sock"})
    assert {:error, %Status{code: 14, sent: :no, message: message}} = Channel.unary(channel, @path, "")
    assert message =~ "unix:/nowhere/at/all.sock: no such file"
    begun = System.monotonic_time(:millisecond)
    assert {:error, %Status{code: 14, sent: :no}} = Channel.unary(channel, @path, "", wait: 60)
    assert System.monotonic_time(:millisecond) - begun >= 60
    assert {:error, %Status{code: 4, sent: :no}} = Channel.unary(channel, @path, "", wait: true, deadline: soon(60))
    assert {:error, %Status{code: 14, sent: :no}} = Channel.unary(:no_such_channel, @path, "")
  end

  test "those who wait for a connection are bounded" do
    channel = channel({:unix, "/nowhere/at/all.sock"}, max_waiting: 2)
    waiting = for _ <- 1..2, do: ask(channel, "", wait: true)
    eventually(fn -> map_size(:sys.get_state(channel).waiting.callers) == 2 end)
    assert {:error, %Status{code: 8, sent: :no, message: message}} = Channel.unary(channel, @path, "", wait: true)
    assert message =~ "max_waiting"
    Enum.each(waiting, &Task.shutdown(&1, :brutal_kill))
    eventually(fn -> map_size(:sys.get_state(channel).waiting.callers) == 0 end)
  end

  test "a server that comes later is found", %{listener: listener, address: {:unix, path}} do
    :gen_tcp.close(listener)
    File.rm!(path)
    channel = channel({:unix, path}, backoff: [min: 5, max: 20])
    call = ask(channel, "", wait: true)
    eventually(fn -> map_size(:sys.get_state(channel).waiting.callers) == 1 end)
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ifaddr: {:local, path}])
    {1, _, _, peer} = listener |> Peer.accept() |> Peer.request()
    Peer.answer(peer, 1, "here")
    assert {:ok, "here", []} = Task.await(call)
  end

  test "pauses double up to a bound, with some chance in them" do
    bounds = [min: 100, max: 5_000]
    assert Backoff.pause(0, bounds) == 0

    for {failures, longest} <- [{1, 100}, {2, 200}, {3, 400}, {6, 3_200}, {7, 5_000}, {1_000, 5_000}] do
      pauses = for _ <- 1..200, do: Backoff.pause(failures, bounds)
      assert Enum.min(pauses) >= div(longest, 2) and Enum.max(pauses) <= longest
      assert length(Enum.uniq(pauses)) > 20
    end
  end

  test "a server that always vanishes is tried in ever longer pauses", %{listener: listener, address: address} do
    channel = channel(address, backoff: [min: 10, max: 40])

    times =
      for _ <- 1..6 do
        Peer.close(Peer.accept_silently(listener))
        System.monotonic_time(:millisecond)
      end

    # The pauses before the last three are 20 to 40 ms each.
    assert List.last(times) - Enum.at(times, 2) >= 60
    assert connections(channel) == []
  end

  test "what a dying connection was asked may have happened, and is not tried again", %{
    listener: listener,
    address: address
  } do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "once")
    {1, _, _, peer} = Peer.request(peer)
    Peer.close(peer)
    assert {:error, %Status{code: 14, sent: :maybe, origin: :transport}} = Task.await(call)
    peer = Peer.accept(listener)
    assert Peer.quiet?(peer, [:fields])
  end

  test "what could not be written is tried on the next connection", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    eventually(fn -> length(connections(channel)) == 1 end)
    [connection] = connections(channel)
    waits = fn least -> eventually(fn -> elem(Process.info(connection, :message_queue_len), 1) >= least end) end
    # It stands still while a call comes that is large enough to be written at once, and then the end of the socket.
    :sys.suspend(connection)
    whole = :binary.copy("x", 65_530)
    call = ask(channel, whole)
    waits.(1)
    Peer.close(peer)
    waits.(2)
    :sys.resume(connection)
    {1, _, body, peer} = listener |> Peer.accept() |> Peer.request()
    assert body == message(whole)
    Peer.answer(peer, 1, "good")
    assert {:ok, "good", []} = Task.await(call)
  end

  test "what was not looked at is tried on the next connection, and nobody else hears of it",
       %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    first = ask(channel, "first")
    {1, _, _, peer} = Peer.request(peer)
    second = ask(channel, "second")
    {3, _, _, peer} = Peer.request(peer)
    Peer.say(peer, goaway(1))
    other = Peer.accept(listener)
    {1, _, body, other} = Peer.request(other)
    assert body == message("second")
    Peer.answer(other, 1, "2")
    assert {:ok, "2", []} = Task.await(second)
    # The old connection brings its call to the end, and is closed then.
    Peer.answer(peer, 1, "1")
    assert {:ok, "1", []} = Task.await(first)
    Peer.closed(peer)
  end

  test "what a server says before it closes is heard, also when writing fails first", %{
    listener: listener,
    address: address
  } do
    channel = channel(address)
    peer = Peer.accept(listener)
    {:ok, stream} = Channel.open(channel, @path)
    {{:fields, 1, _, _}, peer} = Peer.next(peer)
    [connection] = connections(channel)
    # It stands still while first a message comes that is large enough to be written at once, and then all of the news.
    :sys.suspend(connection)
    writer = Task.async(fn -> Channel.send(stream, :binary.copy("x", 70_000)) end)
    waits = fn least -> eventually(fn -> elem(Process.info(connection, :message_queue_len), 1) >= least end) end
    waits.(2)
    peer = Peer.say(peer, goaway(0, 11, "too many"))
    Peer.close(peer)
    waits.(4)
    refused = ask(channel, "next")
    waits.(5)
    :sys.resume(connection)
    assert {:error, %Status{code: 14}} = Task.await(writer)
    assert {:error, %Status{code: 14, sent: :no, message: message}} = Channel.recv(stream)
    assert message =~ "went away before it looked"
    # Not sent at all, so it goes to the next connection.
    {1, _, _, peer} = listener |> Peer.accept() |> Peer.request()
    Peer.answer(peer, 1, "good")
    assert {:ok, "good", []} = Task.await(refused)
  end

  test "a stream that was refused is tried again on the same connection, a few times", %{
    listener: listener,
    address: address
  } do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "again")
    {1, _, _, peer} = Peer.request(peer)
    {3, _, _, peer} = peer |> Peer.say(reset(1, 7)) |> Peer.request()
    peer = peer |> Peer.say(reset(3, 7)) |> then(&elem(Peer.request(&1), 3)) |> Peer.answer(5, "")
    assert {:ok, "", []} = Task.await(call)

    call = ask(channel, "never")

    peer =
      Enum.reduce(0..5, peer, fn number, peer ->
        {id, _, _, peer} = Peer.request(peer)
        assert id == 7 + 2 * number
        Peer.say(peer, reset(id, 7))
      end)

    assert {:error, %Status{code: 14, sent: :no}} = Task.await(call)
    assert Peer.quiet?(peer, [:fields])
  end

  test "a reset says what it says", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)

    for {code, status} <- [{8, 1}, {11, 8}, {12, 7}, {2, 13}, {0, 13}, {99, 13}], reduce: peer do
      peer ->
        call = ask(channel, "")
        {id, _, _, peer} = Peer.request(peer)
        peer = Peer.say_slowly(peer, reset(id, code))
        assert {:error, %Status{code: ^status, sent: :maybe, origin: :transport}} = Task.await(call)
        peer
    end
  end

  test "a server that breaks the protocol loses its connection, and the caller is told how", %{
    listener: listener,
    address: address
  } do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    peer = Peer.say(peer, frame(5, 4, 1, <<2::32>>))
    assert {:error, %Status{code: 14, sent: :maybe, message: message}} = Task.await(call)
    assert message =~ "push"
    assert {{:goaway, 0, 1, _}, peer} = Peer.next(peer, [:goaway])
    Peer.closed(peer)
    # And the channel goes on.
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    Peer.answer(peer, 1, "")
    assert {:ok, "", []} = Task.await(call)
  end

  describe "a silent server" do
    test "is asked, and given up when it does not answer", %{listener: listener, address: address} do
      channel = channel(address, keepalive: [every: 20, patience: 40])
      peer = Peer.accept(listener)
      call = ask(channel, "")
      {1, _, _, peer} = Peer.request(peer)
      {{:ping, _}, _} = Peer.next(peer, [:ping])
      assert {:error, %Status{code: 14, sent: :maybe, message: message}} = Task.await(call)
      assert message =~ "PING"
    end

    test "that is asked too often is asked half as often", %{listener: listener, address: address} do
      channel = channel(address, keepalive: [every: 1_000_000])
      every = fn -> :sys.get_state(channel).opts.connection.keepalive[:every] end

      for expected <- [2_000_000, 3_600_000] do
        peer = Peer.accept(listener)
        eventually_connections(channel)
        Peer.say(peer, goaway(0, 11, "too_many_pings"))
        eventually(fn -> every.() == expected end)
        Peer.closed(peer)
      end
    end

    test "that answers is let be", %{listener: listener, address: address} do
      channel = channel(address, keepalive: [every: 10, patience: 2_000])
      peer = Peer.accept(listener)
      [connection] = eventually_connections(channel)

      Enum.reduce(1..5, peer, fn _, peer ->
        {{:ping, opaque}, peer} = Peer.next(peer, [:ping])
        Peer.say(peer, ping(opaque, true))
      end)

      assert connections(channel) == [connection]
    end
  end

  describe "executions, counted by the server," do
    test "are one for each call, however often servers go away politely", %{listener: listener, address: address} do
      {_, counts} = Counting.start(listener, [], fn had -> if had >= 20, do: :leave, else: :serve end)
      channel = channel(address, size: 2, backoff: [min: 1, max: 5])
      results = crowd(channel, 50, 40)

      assert Enum.all?(results, &match?({_, {:ok, _, []}}, &1)),
             inspect(Enum.find(results, &match?({_, {:error, _}}, &1)))

      for {content, {:ok, answer, []}} <- results, do: assert(answer == content)
      for {content, _} <- results, do: assert({content, Counting.executions(counts, content)} == {content, 1})
    end

    test "are one at most when servers vanish, and none where it is said that nothing was sent",
         %{listener: listener, address: address} do
      {_, counts} = Counting.start(listener, [], fn had -> if had >= 15, do: :vanish, else: :serve end)
      channel = channel(address, size: 2, backoff: [min: 1, max: 5])
      results = crowd(channel, 50, 20)
      assert Enum.count(results, &match?({_, {:ok, _, _}}, &1)) > 100

      for {content, result} <- results do
        executions = Counting.executions(counts, content)

        case result do
          {:ok, _, _} -> assert {content, executions} == {content, 1}
          {:error, %Status{sent: :no}} -> assert {content, executions} == {content, 0}
          {:error, %Status{code: 14, sent: :maybe}} -> assert executions in [0, 1]
        end
      end
    end

    test "are one when streams are refused now and then", %{listener: listener, address: address} do
      {_, counts} = Counting.start(listener, [streams: 5], fn _ -> Enum.random([:serve, :serve, :serve, :refuse]) end)
      channel = channel(address)

      for {content, result} <- crowd(channel, 20, 20) do
        case result do
          {:ok, ^content, []} -> assert Counting.executions(counts, content) == 1
          {:error, %Status{code: 14, sent: :no}} -> assert Counting.executions(counts, content) == 0
        end
      end
    end

    # Each caller makes its calls one after the other.
    defp crowd(channel, callers, calls) do
      1..callers
      |> Enum.map(fn caller ->
        Task.async(fn ->
          for call <- 1..calls do
            content = "#{caller}.#{call}"
            {content, Channel.unary(channel, @path, content, deadline: soon(20_000), wait: true)}
          end
        end)
      end)
      |> Task.await_many(60_000)
      |> List.flatten()
    end
  end

  test "a thousand calls at once over two connections and ten streams each", %{listener: listener, address: address} do
    {_, counts} = Counting.start(listener, [streams: 10], fn _ -> :serve end)
    channel = channel(address, size: 2)
    eventually(fn -> length(connections(channel)) == 2 end)
    calls = for number <- 1..1_000, do: {"#{number}", ask(channel, "#{number}", deadline: soon(30_000))}
    for {content, call} <- calls, do: assert({:ok, content, []} == Task.await(call, 30_000))
    assert :ets.info(counts, :size) == 1_000
    eventually(fn -> load(channel) == 0 end)
  end

  test "a connection that is killed takes no caller with it", %{listener: listener, address: address} do
    {_, _} = Counting.start(listener, [], fn _ -> :serve end)
    channel = channel(address, backoff: [min: 1, max: 5])

    for _ <- 1..20 do
      [connection] = eventually_connections(channel)
      Process.exit(connection, :kill)
      assert {:ok, "x", []} = again(channel)
    end
  end

  # A call that raced with the kill may have been sent, and says so.
  defp again(channel) do
    case Channel.unary(channel, @path, "x", deadline: soon(5_000), wait: true) do
      {:error, %Status{code: 14, sent: :maybe}} -> again(channel)
      result -> result
    end
  end

  test "a channel that stops says goodbye, and its callers are told", %{listener: listener, address: address} do
    channel = channel(address)
    peer = Peer.accept(listener)
    call = ask(channel, "")
    {1, _, _, peer} = Peer.request(peer)
    stop_supervised!(channel)
    assert {:error, %Status{code: 14, sent: :maybe}} = Task.await(call)
    assert {{:goaway, 0, 0, ""}, peer} = Peer.next(peer, [:goaway])
    Peer.closed(peer)
    assert {:error, %Status{code: 14, sent: :no}} = Channel.unary(channel, @path, "")
  end

  defp eventually_connections(channel) do
    eventually(fn -> connections(channel) != [] end)
    connections(channel)
  end
end
