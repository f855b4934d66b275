defmodule Sidewinder.Peer do
  @moduledoc """
  A server that does what a test tells it, frame by frame: the test is the server, and the client's calls run in tasks.

  Plain `gen_tcp`, nothing of the client's machine. Everything waits for facts, and no longer than `@patience`.
  """

  import Sidewinder.Bytes
  alias Sidewinder.Wire.Hpack

  @patience 5_000

  defstruct [:socket, :asked, :answered, by: :gen_tcp, rest: "", frames: []]

  @doc "Listens on a unix socket of its own; gives the address for an endpoint, too."
  def listen do
    path = Path.join(System.tmp_dir!(), "sidewinder-#{System.unique_integer([:positive])}-#{System.pid()}.sock")
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ifaddr: {:local, path}, backlog: 1_024])
    ExUnit.Callbacks.on_exit(fn -> File.rm(path) end)
    {listener, {:unix, path}}
  end

  @doc "Listens on the loopback."
  def listen_tcp(port \\ 0) do
    {:ok, listener} =
      :gen_tcp.listen(port, [:binary, active: false, ip: {127, 0, 0, 1}, nodelay: true, reuseaddr: true, backlog: 1_024])

    {:ok, port} = :inet.port(listener)
    {listener, {:tcp, "127.0.0.1", port}}
  end

  @doc "Listens on the loopback, with TLS."
  def listen_tls(options) do
    {:ok, listener} = :ssl.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}, reuseaddr: true] ++ options)
    {:ok, {_, port}} = :ssl.sockname(listener)
    {listener, port}
  end

  @doc "Takes a connection with TLS and greets it; or what went wrong."
  def accept_tls(listener) do
    {:ok, socket} = :ssl.transport_accept(listener, @patience)

    with {:ok, socket} <- :ssl.handshake(socket, @patience),
         do: greet(%__MODULE__{socket: socket, by: :ssl, asked: Hpack.new(), answered: Hpack.new()}, [])
  end

  @doc "Takes a connection and greets it."
  def accept(listener, settings \\ []), do: listener |> accept_silently() |> greet(settings)

  defp greet(peer, settings) do
    peer = say(peer, settings(settings))
    {:preface, peer} = next(peer, [:preface])
    {{:settings, _}, peer} = next(peer, [:settings])
    say(peer, settings_ack())
  end

  @doc "Takes a connection and says nothing."
  def accept_silently(listener) do
    {:ok, socket} = :gen_tcp.accept(listener, @patience)
    %__MODULE__{socket: socket, asked: Hpack.new(), answered: Hpack.new()}
  end

  @doc "Whether nobody connects within so many milliseconds."
  def lonely?(listener, milliseconds), do: :gen_tcp.accept(listener, milliseconds) == {:error, :timeout}

  def say(peer, bytes) do
    :ok = peer.by.send(peer.socket, bytes)
    peer
  end

  @doc "Says it byte by byte."
  def say_slowly(peer, bytes) do
    for <<byte <- IO.iodata_to_binary(bytes)>>, do: :ok = peer.by.send(peer.socket, <<byte>>)
    peer
  end

  @doc "A whole answer."
  def answer(peer, id, message, more \\ []) do
    {bytes, table} = Sidewinder.Bytes.answer(id, message, peer.answered, more)
    say(%{peer | answered: table}, bytes)
  end

  def refuse(peer, id, code, text) do
    {bytes, table} = refusal(id, code, text, peer.answered)
    say(%{peer | answered: table}, bytes)
  end

  def fields(peer, id, fields, fin \\ false) do
    {bytes, table} = Sidewinder.Bytes.fields(id, fields, fin, peer.answered)
    say(%{peer | answered: table}, bytes)
  end

  @doc "The next frame of these kinds; others are passed over, and none at all fails."
  def next(peer, kinds \\ [:fields, :data, :reset])

  def next(%{frames: [frame | frames]} = peer, kinds) do
    kind = if is_tuple(frame), do: elem(frame, 0), else: frame
    peer = %{peer | frames: frames}
    if kind in kinds, do: {frame, peer}, else: next(peer, kinds)
  end

  def next(peer, kinds) do
    case peer.by.recv(peer.socket, 0, @patience) do
      {:ok, bytes} ->
        {frames, rest, table} = parse(peer.rest <> bytes, peer.asked)
        next(%{peer | frames: frames, rest: rest, asked: table}, kinds)

      {:error, :closed} ->
        {:closed, peer}

      {:error, why} ->
        raise "no #{inspect(kinds)} came: #{inspect(why)}"
    end
  end

  @doc "A whole request: its stream, fields and message."
  def request(peer) do
    {{:fields, id, fields, fin}, peer} = next(peer, [:fields])
    {bytes, peer} = if fin, do: {"", peer}, else: body(peer, id, "")
    {id, Map.new(fields), bytes, peer}
  end

  defp body(peer, id, bytes) do
    {{:data, ^id, more, fin}, peer} = next(peer, [:data])
    if fin, do: {bytes <> more, peer}, else: body(peer, id, bytes <> more)
  end

  @doc "Whether nothing of these kinds has come when a question and its answer have gone back and forth."
  def quiet?(peer, kinds) do
    peer = say(peer, ping("is quiet"))
    match?({{:pong, "is quiet"}, _}, next(peer, [:pong | kinds]))
  end

  @doc "Waits until the client has closed."
  def closed(peer) do
    {:closed, peer} = next(peer, [:nothing])
    peer
  end

  def close(peer), do: peer.by.close(peer.socket)
end
