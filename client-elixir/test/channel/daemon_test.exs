defmodule Sidewinder.DaemonTest do
  @moduledoc "The real daemon, with real workers: crowds, large messages, long streams, and deaths on either side."
  use ExUnit.Case, async: false
  import Sidewinder.Asking
  import Sidewinder.Served, only: [request: 2, request: 3, opening: 1, opening: 2, input: 1, value: 1]
  alias Sidewinder.{Channel, Churn, Served}
  alias Sidewinder.Wire.Status

  @call "/sidewinder.v1.Calls/Call"
  @stream "/sidewinder.v1.Calls/Stream"
  @upload "/sidewinder.v1.Calls/Upload"
  @converse "/sidewinder.v1.Calls/Converse"
  @bytes "application/octet-stream"

  setup context do
    served = Served.start(workers: Map.get(context, :workers, 1))
    %{served: served, channel: channel({:unix, served.socket}, Map.get(context, :channel, []))}
  end

  defp add(channel, a, opts),
    do: Channel.unary(channel, @call, request("add", ~s({"a": #{a}})), [wait: true] ++ opts)

  defp await_ready(channel), do: {:ok, _, _} = add(channel, 1, deadline: soon(20_000))

  @tag workers: 2
  test "a thousand calls at once", %{channel: channel} do
    calls = for number <- 1..1_000, do: {number, Task.async(fn -> add(channel, number, deadline: soon(30_000)) end)}

    for {number, call} <- calls do
      assert {:ok, answer, _} = Task.await(call, 30_000)
      assert value(answer) == "#{number + 2}"
    end

    eventually(fn -> load(channel) == 0 end)
  end

  test "sixteen megabytes, both ways, as one message and as many", %{channel: channel} do
    block = :rand.bytes(65_536)
    body = :binary.copy(block, 256)
    backwards = block |> :binary.bin_to_list() |> Enum.reverse() |> :binary.list_to_bin() |> :binary.copy(256)

    assert {:ok, answer, _} =
             Channel.unary(channel, @call, request("reverse", body, @bytes), wait: true, deadline: soon(60_000))

    assert value(answer) == backwards

    {:ok, stream} = Channel.open(channel, @upload, deadline: soon(60_000))
    :ok = Channel.send(stream, opening("join", @bytes))
    for <<piece::binary-size(65_536) <- body>>, do: :ok = Channel.send(stream, input(piece))
    :ok = Channel.finish(stream)
    assert {:ok, answer} = Channel.recv(stream)
    assert value(answer) == body
    assert {:end, _} = Channel.recv(stream)
  end

  test "a hundred thousand messages for a slow reader, in flat memory", %{channel: channel} do
    await_ready(channel)
    # A kilobyte each: whoever let them come unread would hold a hundred megabytes.
    arguments = ~s({"until": 100000, "size": 1000})
    {:ok, stream} = Channel.open(channel, @stream, request: request("lines", arguments), deadline: soon(120_000))
    before = :erlang.memory(:total)

    most =
      Enum.reduce(0..99_999, 0, fn number, most ->
        assert {:ok, item} = Channel.recv(stream)
        assert value(item) == ~s("#{String.pad_leading("#{number}", 1_000, "0")}")
        # Slower than the tool.
        if rem(number, 100) == 0, do: wait_until(soon(3))
        if rem(number, 1_000) == 0, do: max(most, :erlang.memory(:total)), else: most
      end)

    assert {:end, _} = Channel.recv(stream)
    assert most - before < 16_000_000, "#{most - before} bytes more than before"
  end

  test "a reader that stops, stops the tool", %{channel: channel, served: served} do
    note = Path.join(served.folder, "note")
    arguments = ~s({"size": 1000000, "note": "#{note}"})
    await_ready(channel)
    {:ok, stream} = Channel.open(channel, @stream, request: request("blocks", arguments, "application/json"))
    # Bytes cannot be said as JSON, so that this call fails; the same in MessagePack goes.
    assert {:error, %Status{origin: :peer}} = Channel.recv(stream)

    packed = <<0x82, 0xA4, "size", 0xCE, 1_000_000::32, 0xA4, "note", 0xD9, byte_size(note), note::binary>>
    {:ok, stream} = Channel.open(channel, @stream, request: request("blocks", packed, "application/msgpack"))
    for _ <- 1..3, do: assert({:ok, _} = Channel.recv(stream))
    stood = still(fn -> File.stat!(note).size end)
    assert stood <= 50
    for _ <- 1..50, do: assert({:ok, _} = Channel.recv(stream))
    eventually(fn -> File.stat!(note).size > stood end)
    assert still(fn -> File.stat!(note).size end) <= 100
    Channel.cancel(stream)
    assert {:ok, _, _} = add(channel, 1, deadline: soon(20_000))
  end

  # A figure that has not changed for a while.
  defp still(figure, last \\ nil) do
    case figure.() do
      ^last ->
        last

      now ->
        wait_until(soon(300))
        still(figure, now)
    end
  end

  test "inputs and items cross each other", %{channel: channel} do
    {:ok, stream} = Channel.open(channel, @converse, wait: true, deadline: soon(60_000))
    :ok = Channel.send(stream, opening("double"))
    reader = self()

    # A writer in a process of its own, a hundred inputs ahead of the reader at most.
    writer =
      spawn_link(fn ->
        for number <- 1..20_000 do
          if rem(number, 100) == 1 and number > 100, do: receive(do: (:go_on -> :ok))
          :ok = Channel.send(stream, input("#{number}"))
        end

        :ok = Channel.finish(stream)
        send(reader, :written)
      end)

    for number <- 1..20_000 do
      if rem(number, 100) == 50, do: send(writer, :go_on)
      assert {:ok, item} = Channel.recv(stream)
      assert value(item) == "#{2 * number}"
    end

    assert {:end, _} = Channel.recv(stream)
    assert_receive :written
  end

  test "a deadline reaches the tool, and what follows is served", %{channel: channel, served: served} do
    await_ready(channel)
    file = Path.join(served.folder, "until")
    arguments = ~s({"file": "#{file}"})

    assert {:error, %Status{code: 4}} =
             Channel.unary(channel, @call, request("until_cancelled", arguments), deadline: soon(500))

    eventually(fn -> File.read(file) == {:ok, "cancelled"} end)
    assert {:ok, _, _} = add(channel, 1, deadline: soon(20_000))
  end

  test "a caller that dies cancels its tool", %{channel: channel, served: served} do
    await_ready(channel)
    file = Path.join(served.folder, "until")
    arguments = ~s({"file": "#{file}"})
    call = Task.async(fn -> Channel.unary(channel, @call, request("until_cancelled", arguments)) end)
    eventually(fn -> File.read(file) == {:ok, "runs"} end)
    Task.shutdown(call, :brutal_kill)
    eventually(fn -> File.read(file) == {:ok, "cancelled"} end)
  end

  test "a worker that dies is told with details", %{channel: channel} do
    await_ready(channel)
    assert {:error, status} = Channel.unary(channel, @call, request("leave", ~s({"status": 7})), deadline: soon(20_000))
    assert %Status{origin: :peer, sent: :maybe, details: details} = status
    assert is_binary(details) and byte_size(details) > 20
    assert {:ok, _, _} = add(channel, 1, deadline: soon(20_000))
  end

  @tag workers: 2
  test "a killed daemon: everybody is told, nothing ran twice, and the next one is found", %{
    channel: channel,
    served: served
  } do
    await_ready(channel)
    files = for number <- 1..40, do: Path.join(served.folder, "mark#{number}")

    calls =
      for file <- files do
        Task.async(fn ->
          Channel.unary(channel, @call, request("mark", ~s({"file": "#{file}", "seconds": 0.05})),
            wait: true,
            deadline: soon(40_000)
          )
        end)
      end

    eventually(fn -> Enum.count(files, &File.exists?/1) >= 5 end)
    Served.again(served)
    results = Task.await_many(calls, 60_000)
    assert Enum.any?(results, &match?({:error, %Status{code: 14, sent: :maybe}}, &1))

    for {file, result} <- Enum.zip(files, results) do
      runs = with {:ok, marks} <- File.read(file), do: byte_size(marks)

      case result do
        {:ok, _, _} -> assert {file, runs} == {file, 1}
        {:error, %Status{sent: :maybe}} -> assert runs in [1, {:error, :enoent}]
      end
    end

    assert {:ok, _, _} = add(channel, 1, deadline: soon(20_000))
  end

  @tag channel: [keepalive: [every: 50, patience: 200]]
  test "a daemon that stands still is given up, and found again", %{channel: channel, served: served} do
    await_ready(channel)
    Served.signal(served, "STOP")
    assert {:error, %Status{code: 14, message: message}} = Channel.unary(channel, @call, request("add", ~s({"a": 1})))
    assert message =~ "PING"
    Served.signal(served, "CONT")
    assert {:ok, _, _} = add(channel, 1, deadline: soon(20_000))
  end

  @tag channel: [health: "", size: 3]
  test "its health is watched, and calls spread over connections", %{channel: channel} do
    await_ready(channel)
    eventually(fn -> length(connections(channel)) == 3 end)
    eventually(fn -> Enum.any?(:sys.get_state(channel).addresses, fn {_, known} -> known.health == :serving end) end)

    waits =
      for _ <- 1..3, do: Task.async(fn -> Channel.unary(channel, @call, request("wait", ~s({"timeout": 0.2}))) end)

    eventually(fn ->
      Enum.map(connections(channel), &map_size(:sys.get_state(&1).machine.streams)) |> Enum.sort() |> Enum.sum() >= 3
    end)

    Task.await_many(waits, 20_000)
  end

  @tag workers: 2
  test "random comings and goings leave nothing behind", %{channel: channel} do
    await_ready(channel)
    Sidewinder.Chance.many("comings and goings", 3, fn -> Churn.round(channel, 20, 40) end)
    Churn.nothing_left(channel)
  end

  @tag :soak
  @tag timeout: :infinity
  @tag workers: 2
  @tag channel: [size: 2, health: ""]
  test "hours of comings and goings leave nothing behind, in flat memory", %{channel: channel, served: served} do
    await_ready(channel)
    for _ <- 1..3, do: Churn.round(channel, 20, 40)
    Churn.nothing_left(channel)
    before = Churn.weight()

    Churn.soak(served, fn number, served ->
      Sidewinder.Chance.many("comings and goings", 1, fn -> Churn.round(channel, 20, 40) end)
      # Now and then the daemon dies, or a connection does.
      served = if rem(number, 10) == 0, do: Served.again(served), else: served
      if rem(number, 3) == 0, do: Enum.each(Enum.take(connections(channel), 1), &Process.exit(&1, :kill))
      await_ready(channel)
      served
    end)

    Churn.nothing_left(channel)
    Churn.same_weight(before)
  end
end
