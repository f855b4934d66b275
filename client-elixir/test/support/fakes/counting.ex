defmodule Sidewinder.Counting do
  @moduledoc """
  A server that serves by itself and counts what it has executed, by the content of requests. What it does to its
  connections besides is decided by a function: it is asked before each execution, with how many the connection has had.

  - `:serve`: execute and answer
  - `:refuse`: RST_STREAM(REFUSED_STREAM), not executed
  - `:leave`: GOAWAY that names the stream before this one as the last, then close when nothing is open
  - `:vanish`: execute, and close without an answer
  """

  import Sidewinder.Bytes
  alias Sidewinder.Peer
  alias Sidewinder.Wire.Hpack

  @doc "Starts. The count is a table of contents and how often each was executed."
  def start(listener, settings \\ [], decide) do
    counts = :ets.new(:counts, [:public, :set, write_concurrency: true])
    acceptor = spawn_link(fn -> accept(listener, settings, decide, counts) end)
    # The table belongs to the test, and the acceptor ends with it.
    {acceptor, counts}
  end

  defp accept(listener, settings, decide, counts) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        {:ok, serving} = Task.start(fn -> begin(socket, settings, decide, counts) end)
        :ok = :gen_tcp.controlling_process(socket, serving)
        send(serving, :yours)
        accept(listener, settings, decide, counts)

      {:error, :closed} ->
        :ok
    end
  end

  defp begin(socket, settings, decide, counts) do
    receive do: (:yours -> :ok)
    :ok = :gen_tcp.send(socket, settings(settings))
    peer = %Peer{socket: socket, asked: Hpack.new(), answered: Hpack.new()}
    serve(%{peer: peer, decide: decide, counts: counts, had: 0, bodies: %{}})
  end

  defp serve(state) do
    case :gen_tcp.recv(state.peer.socket, 0) do
      {:ok, bytes} ->
        peer = state.peer
        {frames, rest, table} = parse(peer.rest <> bytes, peer.asked)
        state = %{state | peer: %{peer | rest: rest, asked: table}}
        Enum.reduce_while(frames, state, &frame/2) |> go_on()

      {:error, _} ->
        :ok
    end
  end

  defp go_on(:gone), do: :ok
  defp go_on(state), do: serve(state)

  defp frame({:fields, id, _, true}, state), do: request(id, "", state)
  defp frame({:fields, id, _, false}, state), do: {:cont, put_in(state.bodies[id], "")}
  defp frame({:data, id, bytes, false}, state), do: {:cont, update_in(state.bodies[id], &(&1 <> bytes))}

  defp frame({:data, id, bytes, true}, state) do
    {body, state} = pop_in(state.bodies[id])
    request(id, body <> bytes, state)
  end

  defp frame({:reset, id, _}, state), do: {:cont, elem(pop_in(state.bodies[id]), 1)}
  defp frame({:ping, opaque}, state), do: {:cont, tap(state, &Peer.say(&1.peer, ping(opaque, true)))}
  defp frame(_, state), do: {:cont, state}

  defp request(id, body, state) do
    case state.decide.(state.had) do
      :serve ->
        count(state, body)
        <<0, _::32, message::binary>> = body
        # Whoever asks may be gone by now.
        {bytes, table} = answer(id, message, state.peer.answered)
        _ = :gen_tcp.send(state.peer.socket, bytes)
        {:cont, %{state | peer: %{state.peer | answered: table}, had: state.had + 1}}

      :refuse ->
        Peer.say(state.peer, reset(id, 7))
        {:cont, state}

      :leave ->
        Peer.say(state.peer, goaway(max(id - 2, 0)))
        leave(state)

      :vanish ->
        count(state, body)
        :gen_tcp.close(state.peer.socket)
        {:halt, :gone}
    end
  end

  # A polite end: everything before was answered; what the client says now is read and not looked at.
  defp leave(state) do
    :gen_tcp.shutdown(state.peer.socket, :write)
    _ = drain(state.peer.socket)
    :gen_tcp.close(state.peer.socket)
    {:halt, :gone}
  end

  defp drain(socket) do
    case :gen_tcp.recv(socket, 0, 5_000) do
      {:ok, _} -> drain(socket)
      error -> error
    end
  end

  defp count(state, <<0, _::32, message::binary>>), do: :ets.update_counter(state.counts, message, 1, {message, 0})

  @doc "How often this was executed."
  def executions(counts, message) do
    case :ets.lookup(counts, message) do
      [{_, count}] -> count
      [] -> 0
    end
  end
end
