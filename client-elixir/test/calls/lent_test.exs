defmodule Sidewinder.Calls.LentTest do
  @moduledoc "Items of a stream that come together: what is kept of them, and what becomes of those before one that is none."
  use ExUnit.Case, async: true

  import Sidewinder.Bytes, only: [begun: 0, data: 2, message: 1]
  alias Sidewinder.{Channel, Error, Peer, Proto, Value}

  setup do
    {listener, {:unix, path}} = Peer.listen()
    name = :"lent_#{System.unique_integer([:positive])}"
    start_supervised!({Sidewinder, name: name, address: path, lease: false})
    %{name: name, peer: Peer.accept(listener)}
  end

  for type <- ["application/octet-stream", "application/msgpack", "image/png"] do
    test "an item of #{type} keeps nothing but itself", %{name: name, peer: peer} do
      texts = for number <- 1..70, do: String.duplicate("#{rem(number, 10)}", 150)
      reader = read(name)
      {1, _, _, peer} = Peer.request(peer)
      items = for text <- texts, do: item(unquote(type), text)
      peer |> Peer.fields(1, begun()) |> Peer.say(data(1, items)) |> Peer.fields(1, [{"grpc-status", "0"}], true)
      assert {got, nil} = Task.await(reader)
      assert Enum.map(got, &elem(&1, 0)) == texts
      for {_, keeps} <- got, do: assert(keeps <= 400)
    end
  end

  test "what came before an item that cannot be read is given", %{name: name, peer: peer} do
    for {id, bad, words} <- [
          {1, message(<<0xFF>>), "sidewinder.v1.Item"},
          {3, item("application/msgpack", <<0xC1>>, true), "0xc1"}
        ],
        reduce: peer do
      peer ->
        reader = read(name)
        {^id, _, _, peer} = Peer.request(peer)
        good = for text <- ["one", "two"], do: item("application/msgpack", text)
        peer = peer |> Peer.fields(id, begun()) |> Peer.say(data(id, [good, bad, item("application/msgpack", "late")]))
        assert {[{"one", _}, {"two", _}], %Error{reason: :undecodable, ran: :maybe} = error} = Task.await(reader)
        assert error.message =~ words
        # It is not waited for any more.
        assert {{:reset, ^id, 8}, peer} = Peer.next(peer, [:reset])
        peer
    end
  end

  test "what is there is taken together, and waited for when there is nothing", %{name: name, peer: peer} do
    channel = Sidewinder.Client.part(name, :Channel)
    {:ok, stream} = Channel.open(channel, "/test.Service/Method", request: "")
    {1, _, _, peer} = Peer.request(peer)
    [a, b, c, d, e] = for text <- ~w(a b c d e), do: item("image/png", text)
    peer = peer |> Peer.fields(1, begun()) |> Peer.say(data(1, [a, b, c]))
    assert {:ok, ["a", "b", "c"]} = texts(Channel.take(stream, Proto.Item))
    Peer.say(peer, data(1, [d, e]))
    assert {:ok, one} = Channel.recv(stream)
    assert message(one) == d
    assert {:ok, ["e"]} = texts(Channel.take(stream, Proto.Item))
    assert {:error, %{code: 4}} = Channel.take(stream, Proto.Item, System.monotonic_time(:millisecond) + 10)
    Peer.say(peer, data(1, [message(<<0xFF>>), a]))
    assert {:unreadable, _} = Channel.take(stream, Proto.Item)
    assert {:ok, <<0xFF>>} = Channel.recv(stream)
    assert {:ok, ["a"]} = texts(Channel.take(stream, Proto.Item))
    Peer.fields(peer, 1, [{"grpc-status", "0"}], true)
    assert {:end, []} = Channel.take(stream, Proto.Item)
    assert {:error, %{code: 9}} = Channel.take(stream, Proto.Item)
  end

  defp texts({:ok, items}), do: {:ok, for(item <- items, do: item.value.data)}

  # Items, each with the size of what it keeps, and the error at the end if there was one.
  defp read(name) do
    Task.async(fn ->
      me = self()
      keep = fn item -> send(me, {:item, {item, :binary.referenced_byte_size(item)}}) end

      failed =
        try do
          name |> Sidewinder.stream("any", %{}) |> Enum.each(keep)
          nil
        rescue
          error in Error -> error
        end

      {kept([]), failed}
    end)
  end

  defp kept(items) do
    receive do
      {:item, item} -> kept([item | items])
    after
      0 -> Enum.reverse(items)
    end
  end

  defp item(type, text, raw \\ false)

  defp item("application/msgpack" = type, text, false) do
    {:ok, packed} = Value.MessagePack.encode(text)
    item(type, packed, true)
  end

  defp item(type, bytes, _) do
    payload = %Proto.Payload{data: bytes, content_type: type}
    %Proto.Item{value: payload} |> Proto.Item.encode() |> IO.iodata_to_binary() |> message()
  end
end
