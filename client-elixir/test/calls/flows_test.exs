defmodule Sidewinder.Calls.FlowsTest do
  @moduledoc "Streams, uploads and conversations, against the real daemon."
  use ExUnit.Case, async: true

  alias Sidewinder.{Error, Value}
  alias Sidewinder.Test.RealDaemon

  setup_all do
    %{daemon: RealDaemon.start()}
  end

  setup %{daemon: daemon}, do: %{client: RealDaemon.client(daemon)}

  test "a stream gives items in their order, and is lazy", %{client: client} do
    stream = Sidewinder.stream(client, "count", %{until: 1_000})
    assert Enum.to_list(stream) == Enum.to_list(0..999)
    assert Enum.take(stream, 3) == [0, 1, 2]
    assert Enum.take(stream, 0) == []
    assert Sidewinder.stream(client, "add", %{a: 1}) |> Enum.to_list() == [3]
    assert {:ok, [0, 1]} = Sidewinder.call(client, "count", %{until: 2})
    idle(client)
  end

  test "a stream that fails raises, after what it gave", %{client: client} do
    me = self()
    stream = Sidewinder.stream(client, "stumble", %{after: 2})
    error = assert_raise(Error, fn -> Enum.each(stream, &send(me, {:item, &1})) end)
    assert %{reason: :raised, exception: "LookupError"} = error
    assert_received {:item, 1}
    error = assert_raise(Error, fn -> Enum.to_list(Sidewinder.stream(client, "nothing", %{})) end)
    assert error.reason == :unknown_tool
    assert_raise Error, ~r/tuple/, fn -> Enum.to_list(Sidewinder.stream(client, "echo", %{value: {1}})) end
    assert_raise ArgumentError, fn -> Sidewinder.stream(client, "count", %{}, tiemout: 1) end
  end

  test "a reader that is slow stops the generator, one that leaves cancels it", %{client: client} do
    note = Path.join(RealDaemon.folder(), "note")
    stream = Sidewinder.stream(client, "blocks", %{size: 100_000, note: note})

    Enum.reduce_while(stream, 0, fn block, read ->
      assert byte_size(block) == 100_000
      if read == 5, do: {:halt, steady(note)}, else: {:cont, read + 1}
    end)

    # What was made beyond the six that were read: windows and buffers on the way, not whatever fits into memory.
    assert byte_size(File.read!(note)) < 60
    idle(client)
  end

  test "a reader that dies cancels the stream", %{client: client} do
    note = Path.join(RealDaemon.folder(), "note")
    reader = spawn(fn -> Enum.each(Sidewinder.stream(client, "blocks", %{size: 10, note: note}), fn _ -> :ok end) end)
    RealDaemon.eventually(fn -> File.exists?(note) end)
    Process.exit(reader, :kill)
    idle(client)
  end

  test "the deadline holds for a whole stream", %{client: client} do
    note = Path.join(RealDaemon.folder(), "note")
    stream = Sidewinder.stream(client, "blocks", %{size: 10, note: note}, timeout: 300)
    error = assert_raise(Error, fn -> Enum.each(stream, fn _ -> :ok end) end)
    assert error.reason == :deadline_exceeded
    idle(client)
  end

  test "inputs go up, one answer comes down", %{client: client} do
    assert {:ok, 5_050} = Sidewinder.upload(client, "total", 1..100)
    assert {:ok, 16} = Sidewinder.upload(client, "total", [1, 2, 3], %{start: 10})
    assert {:ok, 10} = Sidewinder.upload(client, "total", [], %{start: 10})
    assert {:ok, "abc"} = Sidewinder.upload(client, "join", [<<"a">>, "b", "c"], nil, content_type: :bytes)
  end

  test "an upload that cannot go on is cancelled", %{client: client} do
    assert {:error, %Error{reason: :unencodable}} = Sidewinder.upload(client, "total", [1, {2}])
    assert_raise RuntimeError, "no more", fn -> Sidewinder.upload(client, "total", failing()) end
    assert {:error, %Error{reason: :unknown_tool}} = Sidewinder.upload(client, "nothing", 1..10_000)
    idle(client)
  end

  test "a slow tool holds up an upload", %{client: client} do
    note = Path.join(RealDaemon.folder(), "note")
    me = self()
    inputs = Stream.map(1..100_000, fn number -> send(me, {:sent, number}) && Value.bytes(<<0::800_000>>) end)

    assert {:error, %Error{reason: :deadline_exceeded}} =
             Sidewinder.upload(client, "take", inputs, %{note: note}, timeout: 500)

    assert sent(0) < 200
    idle(client)
  end

  test "a conversation goes both ways at once", %{client: client} do
    assert Sidewinder.converse(client, "double", 1..500) |> Enum.to_list() == for(n <- 1..500, do: 2 * n)
    me = self()

    # Each input is made of the answer to the one before: nothing would come if one way waited for the other.
    inputs =
      Stream.unfold(1, fn
        5 ->
          nil

        number ->
          send(me, {:asked, number})
          {number, number + 1}
      end)

    assert Sidewinder.converse(client, "double", inputs) |> Enum.take(2) == [2, 4]
    assert_received {:asked, 1}
    idle(client)
  end

  test "a conversation whose inputs fail, fails with that", %{client: client} do
    assert_raise RuntimeError, "no more", fn -> Enum.to_list(Sidewinder.converse(client, "double", failing())) end
    error = assert_raise(Error, fn -> Enum.to_list(Sidewinder.converse(client, "double", [1, {2}])) end)
    assert error.reason == :unencodable
    idle(client)
    refute_received _
  end

  test "100,000 items pass a slow consumer, and memory stays flat", %{client: client} do
    stream = Sidewinder.stream(client, "lines", %{until: 100_000, size: 1_000}, timeout: 120_000)

    {most, unread} =
      stream
      |> Stream.chunk_every(1_000)
      |> Enum.reduce({0, 0}, fn _, {most, unread} ->
        # What comes while nobody reads waits here, and is a window at most.
        receive(do: (:never -> :ok), after: (5 -> :ok))
        :erlang.garbage_collect()
        {:memory, now} = Process.info(self(), :memory)
        {:messages, messages} = Process.info(self(), :messages)
        waits = Enum.sum(for {_, {:data, bytes, _}} <- messages, do: byte_size(bytes))
        {max(most, now), max(unread, waits)}
      end)

    assert most < 4_000_000
    assert unread in 1..262_144
  end

  defp failing do
    Stream.map(1..3, fn
      3 -> raise "no more"
      number -> number
    end)
  end

  # Waits until the generator rests.
  defp steady(note) do
    Stream.repeatedly(fn ->
      Process.sleep(100)
      byte_size(File.read!(note))
    end)
    |> Enum.reduce_while(-1, fn size, before -> if size == before, do: {:halt, size}, else: {:cont, size} end)
  end

  defp sent(most) do
    receive do
      {:sent, number} -> sent(max(most, number))
    after
      0 -> most
    end
  end

  defp idle(client) do
    RealDaemon.eventually(fn ->
      {:ok, %{pools: pools}} = Sidewinder.status(client)
      Enum.all?(pools, &(&1.running == 0))
    end)
  end
end
