defmodule Sidewinder.Wire.H2.Outgoing do
  @moduledoc """
  What a stream has to say, cut into frames as far as the peer's windows go.

  Frames are cut when bytes are taken, not when something is said: many small messages make one frame then, which is
  cheaper for both sides, and which servers do not take for an attack. What does not go yet waits in its stream. Streams that wait are remembered in the order in which they began to; when
  the window of the connection opens, each says one frame in its turn, so that a large message does not keep small ones
  from getting through. `{:sent, id, bytes}` tells what went, and is what a writer waits for.
  """

  alias Sidewinder.Wire.{Frame, H2}

  @window_max 0x7FFF_FFFF

  @doc "Takes pieces of `size` bytes for a stream, and says what can be said."
  @spec say(H2.t(), H2.id(), [binary], non_neg_integer, boolean) :: H2.t()
  def say(machine, id, pieces, size, fin) do
    case machine.streams do
      %{^id => %{fin: :open} = stream} ->
        pending = Enum.reduce(pieces, stream.pending, &:queue.in/2)
        fin = if fin, do: :asked, else: :open
        stream = %{stream | pending: pending, pending_size: stream.pending_size + size, fin: fin}
        machine = H2.keep(machine, id, stream)
        if id in machine.blocked or id in machine.fresh, do: machine, else: %{machine | fresh: [id | machine.fresh]}

      _ ->
        machine
    end
  end

  @doc "Cuts frames for the streams that have something new to say, in the order in which they said it."
  @spec cut(H2.t()) :: H2.t()
  def cut(%{fresh: []} = machine), do: machine

  def cut(machine) do
    machine.fresh
    |> Enum.reverse()
    |> Enum.reduce(%{machine | fresh: []}, fn id, machine ->
      case machine.streams do
        %{^id => stream} -> flush(machine, id, stream)
        _ -> machine
      end
    end)
  end

  @doc "The peer takes so many bytes more, from one stream or from all together."
  @spec widen(H2.t(), H2.id() | 0, pos_integer) :: {:ok, H2.t()} | :overflow
  def widen(%{send_window: window}, 0, more) when window + more > @window_max, do: :overflow
  def widen(machine, 0, more), do: {:ok, turns(%{machine | send_window: machine.send_window + more})}

  def widen(machine, id, more) do
    case machine.streams do
      %{^id => %{send: window}} when window + more > @window_max ->
        :overflow

      %{^id => stream} ->
        machine = H2.keep(machine, id, %{stream | send: stream.send + more})
        {:ok, if(id in machine.blocked, do: turns(machine), else: machine)}

      _ ->
        {:ok, machine}
    end
  end

  @doc "The peer has changed the window that every stream begins with: open ones move by the difference."
  @spec shift(H2.t(), integer) :: {:ok, H2.t()} | :overflow
  def shift(machine, difference) do
    streams = Map.new(machine.streams, fn {id, stream} -> {id, %{stream | send: stream.send + difference}} end)

    if Enum.any?(streams, fn {_, stream} -> stream.send > @window_max end),
      do: :overflow,
      else: {:ok, turns(%{machine | streams: streams})}
  end

  # A stream that does not wait says all that it can.
  defp flush(machine, id, stream) do
    case frame(machine, id, stream) do
      {:more, machine, stream} -> flush(machine, id, stream)
      {:done, machine, stream} -> H2.keep(machine, id, stream)
      :blocked -> H2.keep(%{machine | blocked: machine.blocked ++ [id]}, id, stream)
    end
  end

  # One frame for each that waits, round and round, until nobody gets on.
  defp turns(%{blocked: []} = machine), do: machine

  defp turns(machine) do
    {moved, machine} =
      Enum.reduce(machine.blocked, {false, machine}, fn id, {moved, machine} ->
        case frame(machine, id, Map.fetch!(machine.streams, id)) do
          {:more, machine, stream} -> {true, H2.keep(machine, id, stream)}
          {:done, machine, stream} -> {true, unblock(H2.keep(machine, id, stream), id)}
          :blocked -> {moved, machine}
        end
      end)

    if moved, do: turns(machine), else: machine
  end

  defp unblock(machine, id), do: %{machine | blocked: List.delete(machine.blocked, id)}

  defp frame(machine, id, %{pending_size: 0, fin: :asked} = stream),
    do: {:done, H2.write(machine, Frame.data_head(id, 0, true), 9), %{stream | fin: :said}}

  defp frame(machine, _, %{pending_size: 0} = stream), do: {:done, machine, stream}

  defp frame(machine, id, stream) do
    case stream.pending_size |> min(stream.send) |> min(machine.send_window) |> min(machine.peer.frame) do
      size when size > 0 -> write(machine, id, stream, size)
      _ -> :blocked
    end
  end

  defp write(machine, id, stream, size) do
    {pieces, pending} = slice(stream.pending, size, [])
    left = stream.pending_size - size
    last = left == 0 and stream.fin == :asked
    fin = if last, do: :said, else: stream.fin
    stream = %{stream | pending: pending, pending_size: left, send: stream.send - size, fin: fin}

    machine =
      %{machine | send_window: machine.send_window - size}
      |> H2.write([Frame.data_head(id, size, last) | pieces], size + 9)

    machine = if stream.told, do: H2.tell(machine, {:sent, id, size}), else: machine
    {if(left == 0, do: :done, else: :more), machine, stream}
  end

  defp slice(pending, size, pieces) do
    {{:value, piece}, rest} = :queue.out(pending)

    case byte_size(piece) do
      length when length < size ->
        slice(rest, size - length, [piece | pieces])

      ^size ->
        {Enum.reverse([piece | pieces]), rest}

      _ ->
        <<now::binary-size(size), later::binary>> = piece
        {Enum.reverse([now | pieces]), :queue.in_r(later, rest)}
    end
  end
end
