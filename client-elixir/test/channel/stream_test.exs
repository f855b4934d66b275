defmodule Sidewinder.StreamTest do
  @moduledoc "Calls whose messages come and go one by one, against a server that does what the test says."
  use ExUnit.Case, async: true
  import Sidewinder.Asking
  import Sidewinder.Bytes, except: [answer: 3, answer: 4, fields: 4]
  alias Sidewinder.{Channel, Peer}
  alias Sidewinder.Wire.Status

  @path Sidewinder.Asking.path()

  setup do
    {listener, address} = Peer.listen()
    channel = channel(address)
    %{channel: channel, peer: Peer.accept(listener)}
  end

  defp opened(peer) do
    {{:fields, id, _, fin}, peer} = Peer.next(peer, [:fields])
    {id, fin, peer}
  end

  defp finish(peer, id, code \\ 0),
    do: Peer.fields(peer, id, [{"grpc-status", "#{code}"}, {"grpc-message", "over"}], true)

  test "messages go and come in order, both at once", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path, metadata: [{"x-a", "b"}])
    {1, false, peer} = opened(peer)
    assert :ok = Channel.send(stream, "one")
    {{:data, 1, one, false}, peer} = Peer.next(peer)
    assert :ok = Channel.send(stream, ["t", "wo"])
    {{:data, 1, two, false}, peer} = Peer.next(peer)
    assert {one, two} == {message("one"), message("two")}
    peer = peer |> Peer.fields(1, begun()) |> Peer.say(data(1, message("1") <> message("2") <> message("")))
    assert {:ok, "1"} = Channel.recv(stream)
    assert {:ok, "2"} = Channel.recv(stream)
    assert {:ok, ""} = Channel.recv(stream)
    assert :ok = Channel.finish(stream)
    {{:data, 1, "", true}, peer} = Peer.next(peer)
    peer |> Peer.say(data(1, message("3"))) |> Peer.fields(1, [{"grpc-status", "0"}, {"x-late", "1"}], true)
    assert {:ok, "3"} = Channel.recv(stream)
    assert {:end, [{"x-late", "1"}]} = Channel.recv(stream)
    assert {:error, %Status{code: 9}} = Channel.recv(stream)
    assert {:error, %Status{}} = Channel.send(stream, "late")
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "a request that is known at once is said at once", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path, request: "all")
    {1, false, peer} = opened(peer)
    assert {{:data, 1, all, true}, peer} = Peer.next(peer)
    assert all == message("all")
    assert {:error, %Status{code: 9}} = Channel.send(stream, "more")
    assert {:error, %Status{code: 9}} = Channel.finish(stream)
    Peer.refuse(peer, 1, 5, "none")
    assert {:error, %Status{code: 5, message: "none", origin: :peer}} = Channel.recv(stream)
  end

  test "messages may be cut anywhere", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path, request: "")
    {1, _, peer} = opened(peer)
    peer = Peer.fields(peer, 1, begun())
    messages = for size <- [0, 1, 4, 5, 6, 100], do: :binary.copy("m", size)
    bytes = Enum.map_join(messages, &message/1)
    peer = Enum.reduce(for(<<byte <- bytes>>, do: <<byte>>), peer, &Peer.say(&2, data(1, &1)))
    for message <- messages, do: assert({:ok, message} == Channel.recv(stream))
    finish(peer, 1)
    assert {:end, _} = Channel.recv(stream)
  end

  test "half a message at the end is an error, and so is a message that is too large", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path, request: "")
    {1, _, peer} = opened(peer)
    peer = peer |> Peer.fields(1, begun()) |> Peer.say(data(1, <<0, 9::32, "half">>)) |> finish(1)
    assert {:error, %Status{code: 13}} = Channel.recv(stream)

    {:ok, stream} = Channel.open(channel, @path, request: "", max_message: 10)
    {3, _, peer} = opened(peer)
    peer = peer |> Peer.fields(3, begun()) |> Peer.say(data(3, message("short") <> <<0, 11::32>>))
    assert {:error, %Status{code: 8}} = drained(stream)
    assert {{:reset, 3, 8}, _} = Peer.next(peer, [:reset])
  end

  defp drained(stream) do
    with {:ok, _} <- Channel.recv(stream), do: drained(stream)
  end

  describe "back-pressure" do
    test "a reader that does not read holds its writer up, and nobody else", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path, request: "")
      {1, _, peer} = opened(peer)
      peer = Peer.fields(peer, 1, begun())
      # The whole window, in messages of a kilobyte.
      full = message(:binary.copy("x", 1_019))
      peer = Enum.reduce(1..256, peer, fn _, peer -> Peer.say(peer, data(1, full)) end)
      call = ask(channel, "other")
      {3, _, _, peer} = Peer.request(peer)
      peer = Peer.answer(peer, 3, "answered")
      assert {:ok, "answered", []} = Task.await(call)
      # Nothing was consumed, so nothing was given back for the stream; for the connection it was.
      assert windows(peer, 1) == 0
      for _ <- 1..200, do: assert({:ok, _} = Channel.recv(stream))
      assert {{:window, 1, more}, _} = next_window(peer, 1)
      assert more >= 65_536
      Channel.cancel(stream)
    end

    defp next_window(peer, id) do
      case Peer.next(peer, [:window]) do
        {{:window, ^id, _}, _} = found -> found
        {_, peer} -> next_window(peer, id)
      end
    end

    # What was given back for a stream until now.
    defp windows(peer, id) do
      peer = Peer.say(peer, ping("windows?"))

      Stream.unfold(peer, fn peer ->
        case Peer.next(peer, [:window, :pong]) do
          {{:pong, "windows?"}, _} -> nil
          {{:window, to, more}, peer} -> {if(to == id, do: more, else: 0), peer}
          {{:pong, _}, peer} -> {0, peer}
        end
      end)
      |> Enum.sum()
    end

    test "a message larger than the window gets the credit that it needs", %{channel: channel, peer: peer} do
      for {how, id} <- [{:unary, 1}, {:stream, 3}], reduce: peer do
        peer ->
          reader =
            Task.async(fn ->
              case how do
                :unary ->
                  {:ok, message, _} = Channel.unary(channel, @path, "")
                  message

                :stream ->
                  {:ok, stream} = Channel.open(channel, @path, request: "")
                  {:ok, message} = Channel.recv(stream)
                  {:end, _} = Channel.recv(stream)
                  message
              end
            end)

          {^id, _, peer} = opened(peer)
          large = :rand.bytes(1_000_000)
          peer = peer |> Peer.fields(id, begun()) |> pour(id, message(large), 262_144) |> finish(id)
          assert Task.await(reader) == large
          peer
      end
    end

    test "a small window is enough for anything" do
      {listener, address} = Peer.listen()
      channel = channel(address, window: 1_000, max_message: 50_000)
      peer = Peer.accept(listener)

      reader =
        Task.async(fn ->
          {:ok, stream} = Channel.open(channel, @path, request: "")
          messages = for _ <- 1..40, do: Channel.recv(stream)
          {messages, Channel.recv(stream)}
        end)

      {1, _, peer} = opened(peer)
      messages = for number <- 1..40, do: :rand.bytes(rem(number, 7) * 300)
      peer = peer |> Peer.fields(1, begun()) |> pour(1, Enum.map_join(messages, &message/1), 1_000)
      Peer.say(peer, data(1, <<0, 50_001::32>>))
      assert {read, {:error, %Status{code: 8, message: why}}} = Task.await(reader)
      assert read == Enum.map(messages, &{:ok, &1})
      assert why =~ "50000 (max_message)"
    end

    # As a server does: no further than the window goes.
    defp pour(peer, _, "", _), do: peer

    defp pour(peer, id, bytes, window) when window > 0 do
      size = bytes |> byte_size() |> min(16_384) |> min(window)
      <<now::binary-size(size), later::binary>> = bytes
      peer |> Peer.say(data(id, now)) |> pour(id, later, window - size)
    end

    defp pour(peer, id, bytes, 0) do
      {{:window, ^id, more}, peer} = next_window(peer, id)
      pour(peer, id, bytes, more)
    end

    test "a server that takes nothing holds its writers up, and lets them go on later", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path)
      {1, _, peer} = opened(peer)
      test = self()

      writers =
        for number <- 1..3 do
          Task.async(fn ->
            for _ <- 1..10, do: :ok = Channel.send(stream, :binary.copy("#{number}", 19_995))
            send(test, {:written, number})
          end)
        end

      # 65,535 bytes go, and 65,536 and one message for each writer may wait.
      {bytes, peer} = data_until_quiet(peer, 0)
      assert bytes == 65_535
      refute_received {:written, _}
      peer = Peer.say(peer, window(1, 600_000) <> window(0, 600_000))
      peer = data_of_size(peer, 600_000 - 65_535)
      Task.await_many(writers)
      assert :ok = Channel.finish(stream)
      assert {0, peer} = data_to_the_end(peer, 0)
      peer |> Peer.fields(1, begun() ++ [{"grpc-status", "0"}], true)
      assert {:end, []} = Channel.recv(stream)
    end

    defp data_until_quiet(peer, bytes) do
      peer = Peer.say(peer, ping("go on..."))
      more_data(peer, bytes)
    end

    defp more_data(peer, bytes) do
      case Peer.next(peer, [:data, :pong]) do
        {{:data, 1, more, false}, peer} -> more_data(peer, bytes + byte_size(more))
        {{:pong, _}, peer} when bytes < 65_535 -> data_until_quiet(peer, bytes)
        {{:pong, _}, peer} -> {bytes, peer}
      end
    end

    defp data_of_size(peer, 0), do: peer

    defp data_of_size(peer, left) do
      {{:data, 1, more, false}, peer} = Peer.next(peer, [:data])
      data_of_size(peer, left - byte_size(more))
    end

    defp data_to_the_end(peer, bytes) do
      case Peer.next(peer, [:data]) do
        {{:data, 1, more, false}, peer} -> data_to_the_end(peer, bytes + byte_size(more))
        {{:data, 1, more, true}, peer} -> {bytes + byte_size(more), peer}
      end
    end

    test "a writer that waits hears how the call ended, and the owner receives it", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path)
      {1, _, peer} = opened(peer)
      waits = Task.async(fn -> Channel.send(stream, :binary.copy("x", 200_000)) end)
      {_, peer} = data_until_quiet(peer, 0)
      Peer.say(peer, reset(1, 2))
      assert {:error, %Status{code: 13, origin: :transport}} = Task.await(waits)
      assert {:error, %Status{code: 13}} = Channel.send(stream, "more")
      assert {:error, %Status{code: 13}} = Channel.recv(stream)
    end

    test "a writer does not wait beyond the deadline of the call", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path, deadline: soon(150))
      assert {:error, %Status{code: 4}} = Channel.send(stream, :binary.copy("x", 200_000))
      assert {{:reset, 1, 8}, _} = Peer.next(peer, [:reset])
    end
  end

  test "a half-close is said when the window is used up exactly", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path)
    {1, _, peer} = opened(peer)
    assert :ok = Channel.send(stream, :binary.copy("x", 65_530))
    assert :ok = Channel.finish(stream)
    assert {65_535, _} = data_to_the_end(peer, 0)
  end

  test "a server that answers early is heard, whatever is still to be said", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path)
    {1, _, peer} = opened(peer)
    peer = Peer.refuse(peer, 1, 3, "no more")
    assert {{:reset, 1, 8}, _} = Peer.next(peer, [:reset])
    assert {:error, %Status{code: 3, message: "no more"}} = Channel.send(stream, "x")
    assert {:error, %Status{code: 3}} = Channel.send(stream, "x")
    assert {:error, %Status{code: 3, origin: :peer}} = Channel.recv(stream)
  end

  test "what came before the end is received before it, although a writer saw the end first",
       %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path)
    {1, _, peer} = opened(peer)
    peer |> Peer.fields(1, begun()) |> Peer.say(data(1, message("last"))) |> finish(1)
    eventually(fn -> match?({:error, _}, Channel.send(stream, "x")) end)
    assert {:ok, "last"} = Channel.recv(stream)
    assert {:end, _} = Channel.recv(stream)
  end

  describe "giving up" do
    test "by the owner is quiet", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path)
      {1, _, peer} = opened(peer)
      peer = peer |> Peer.fields(1, begun()) |> Peer.say(data(1, message("x")))
      assert :ok = Channel.cancel(stream)
      assert {{:reset, 1, 8}, peer} = Peer.next(peer, [:reset])
      Peer.say(peer, data(1, message("late")))
      assert {:error, %Status{}} = Channel.recv(stream)
      assert :ok = Channel.cancel(stream)
      call = ask(channel, "")
      {3, _, _, peer} = Peer.request(peer)
      Peer.answer(peer, 3, "")
      Task.await(call)
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "by somebody else is heard by the owner", %{channel: channel, peer: peer} do
      {:ok, stream} = Channel.open(channel, @path)
      {1, _, peer} = opened(peer)
      Task.await(Task.async(fn -> Channel.cancel(stream) end))
      assert {:error, %Status{code: 1, origin: :client}} = Channel.recv(stream)
      assert {{:reset, 1, 8}, _} = Peer.next(peer, [:reset])
    end

    test "by dying is giving up", %{channel: channel, peer: peer} do
      owner = Task.async(fn -> Channel.open(channel, @path) end)
      assert {:ok, _} = Task.await(owner)
      {1, _, peer} = opened(peer)
      assert {{:reset, 1, 8}, _} = Peer.next(peer, [:reset])
      eventually(fn -> load(channel) == 0 end)
    end
  end

  test "a short patience does not end the call, its deadline does", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path, deadline: soon(400))
    {1, _, peer} = opened(peer)
    assert {:error, %Status{code: 4}} = Channel.recv(stream, soon(10))
    peer |> Peer.fields(1, begun()) |> Peer.say(data(1, message("x")))
    assert {:ok, "x"} = Channel.recv(stream, soon(5_000))
    assert {:error, %Status{code: 4}} = Channel.recv(stream, soon(5_000))
    assert {{:reset, 1, 8}, _} = Peer.next(peer, [:reset])
    assert {:error, %Status{code: 9}} = Channel.recv(stream)
  end

  test "the end of a connection is told to readers, writers and those who come late", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path)
    {1, _, peer} = opened(peer)
    peer |> Peer.fields(1, begun()) |> Peer.say(data(1, message("x")))
    assert {:ok, "x"} = Channel.recv(stream)
    Peer.close(peer)
    assert {:error, %Status{code: 14, sent: :maybe}} = Channel.recv(stream)
    assert {:error, %Status{}} = Channel.send(stream, "x")
  end

  test "a killed connection leaves no reader waiting", %{channel: channel, peer: peer} do
    {:ok, stream} = Channel.open(channel, @path)
    {1, _, _} = opened(peer)
    Process.exit(hd(connections(channel)), :kill)
    assert {:error, %Status{code: 14, sent: :maybe}} = Channel.recv(stream)
    assert {:error, %Status{}} = Channel.send(stream, "x")
  end

  test "random conversations are what they would be without a network", %{channel: channel, peer: peer} do
    # The server echoes every message as it comes, in frames of random sizes.
    echo = Task.async(fn -> echo(peer) end)

    Sidewinder.Chance.many("conversations", 30, fn ->
      {:ok, stream} = Channel.open(channel, @path)
      messages = for _ <- 1..:rand.uniform(30), do: :rand.bytes(:rand.uniform(9_000) - 1)
      {now, later} = Enum.split(messages, :rand.uniform(length(messages)))
      for message <- now, do: :ok = Channel.send(stream, message)
      for message <- now, do: assert({:ok, message} == Channel.recv(stream))
      for message <- later, do: :ok = Channel.send(stream, message)
      :ok = Channel.finish(stream)
      for message <- later, do: assert({:ok, message} == Channel.recv(stream))
      assert {:end, []} = Channel.recv(stream)
    end)

    Task.shutdown(echo, :brutal_kill)
  end

  defp echo(peer) do
    case Peer.next(peer, [:fields, :data]) do
      {{:fields, id, _, false}, peer} ->
        peer |> Peer.fields(id, begun()) |> echo()

      {{:data, id, bytes, fin}, peer} ->
        more = if bytes == "", do: "", else: window(id, byte_size(bytes)) <> window(0, byte_size(bytes))
        peer = Peer.say(peer, [more | pieces(id, bytes)])
        echo(if fin, do: Peer.fields(peer, id, [{"grpc-status", "0"}], true), else: peer)

      {:closed, _} ->
        :ok
    end
  end

  defp pieces(_, ""), do: []

  defp pieces(id, bytes) do
    size = min(byte_size(bytes), :rand.uniform(3_000))
    <<now::binary-size(size), later::binary>> = bytes
    [data(id, now) | pieces(id, later)]
  end
end
