defmodule Sidewinder.Channel.Stream do
  @moduledoc """
  One call whose messages come and go one by one. It belongs to the process that opened it: that process alone may use it,
  and its end cancels the call.

  What has arrived and was not asked for yet lies with the owner, at most one window of it. The window opens again when
  messages are consumed; of a message that is larger than the window, what has arrived counts as consumed, because the
  rest could not come otherwise.

  `send` returns as long as no more than `@ahead` bytes wait to be written, and holds its caller up otherwise: that is how
  a slow server holds up a fast writer.
  """

  alias Sidewinder.Channel.Attempt
  alias Sidewinder.Connection
  alias Sidewinder.Wire.{Grpc, Status}

  # Bytes that may wait to be written.
  @ahead 65_536

  defstruct [:ref, :connection, :deadline, :max, :window]

  @type t :: %__MODULE__{}

  @doc "Opens a stream on a connection."
  @spec open(pid, map, timeout) :: {:ok, t} | {:error | :unsent, Status.t()}
  def open(connection, request, timeout) do
    ref = :erlang.monitor(:process, connection, alias: :demonitor)
    Connection.call(connection, ref, :stream, request)

    receive do
      {^ref, :opened} ->
        put(ref, %{
          ready: [],
          rest: <<>>,
          owed: 0,
          unsent: request.size,
          fields: nil,
          ended: nil,
          closed: request.fin
        })

        window = request.window

        {:ok,
         %__MODULE__{
           ref: ref,
           connection: connection,
           deadline: request.deadline,
           max: request.max,
           window: window
         }}

      {^ref, {:error, status}} ->
        leave(ref)
        Attempt.ending(status)

      {:DOWN, ^ref, _, _, why} ->
        Attempt.ending(Connection.ended(why))
    after
      timeout ->
        Connection.cancel(connection, ref)
        leave(ref)
        {:error, Status.unsent(:deadline_exceeded, "the deadline passed before the call could be sent")}
    end
  end

  @doc "Says a message; waits while too much waits to be written."
  @spec send(t, iodata, boolean) :: :ok | {:error, Status.t()}
  def send(stream, message, fin) do
    {pieces, size} = Grpc.frame(message)
    say(stream, pieces, size, fin)
  end

  @doc "Says that there are no more messages."
  @spec finish(t) :: :ok | {:error, Status.t()}
  def finish(stream), do: say(stream, [], 0, true)

  defp say(%{ref: ref} = stream, pieces, size, fin) do
    case get(ref) do
      nil ->
        {:error, over()}

      %{ended: {:error, status}} ->
        {:error, status}

      %{ended: {:end, _}} ->
        {:error,
         Status.lost(:cancelled, "the server has ended the call; its ending is what recv gives", :client)}

      %{closed: true} ->
        {:error, Status.lost(:failed_precondition, "the stream was finished before", :client)}

      state ->
        Connection.say(stream.connection, ref, pieces, size, fin)
        room(stream, %{state | unsent: state.unsent + size, closed: fin})
    end
  end

  defp room(%{ref: ref}, %{unsent: unsent} = state) when unsent <= @ahead, do: put(ref, state)

  defp room(%{ref: ref} = stream, state) do
    receive do
      {^ref, {:sent, bytes}} ->
        room(stream, %{state | unsent: state.unsent - bytes})

      {^ref, {:end, _} = ending} ->
        put(ref, %{state | ended: ending})

      {^ref, {:error, status}} ->
        put(ref, %{state | ended: {:error, status}})
        {:error, status}

      {:DOWN, ^ref, _, _, why} ->
        {:error, down(ref, state, why)}
    after
      Attempt.left(stream.deadline) ->
        put(ref, state)
        {:error, give_up(stream)}
    end
  end

  @doc "The next message, or how the call ended. A call that has ended is forgotten when that was told."
  @spec recv(t, integer | :infinity) :: {:ok, binary} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def recv(%{ref: ref} = stream, deadline) do
    case get(ref) do
      %{ready: [message | ready]} = state ->
        Process.put({__MODULE__, ref}, %{state | ready: ready})
        {:ok, message}

      nil ->
        {:error, over()}

      state ->
        wait(stream, refill(stream, state), deadline)
    end
  end

  # Everything that had arrived was consumed: a quarter of the window is worth a message.
  defp refill(%{window: window} = stream, %{owed: owed} = state) when owed * 4 >= window do
    Connection.credit(stream.connection, stream.ref, owed)
    %{state | owed: 0}
  end

  defp refill(_, state), do: state

  defp wait(stream, %{ended: ending}, _) when ending != nil, do: ended(stream, ending)

  defp wait(%{ref: ref} = stream, state, deadline) do
    receive do
      {^ref, {:data, bytes, flow}} -> data(stream, state, bytes, flow, deadline)
      {^ref, {:sent, bytes}} -> wait(stream, %{state | unsent: state.unsent - bytes}, deadline)
      {^ref, {:fields, fields}} -> fields(stream, %{state | fields: fields}, deadline)
      {^ref, {:end, _} = ending} -> ended(stream, ending, state)
      {^ref, {:error, status}} -> ended(stream, {:error, status})
      {:DOWN, ^ref, _, _, why} -> {:error, down(ref, state, why)}
    after
      patience(stream, deadline) -> timed_out(stream, state, deadline)
    end
  end

  defp data(stream, %{rest: rest} = state, bytes, flow, deadline) do
    whole = if rest == <<>>, do: bytes, else: rest <> bytes
    state = %{state | owed: state.owed + flow}

    case Grpc.messages(whole, stream.max) do
      {:ok, [], rest} ->
        wait(stream, refill(stream, %{state | rest: rest}), deadline)

      {:ok, [message | ready], rest} ->
        put(stream.ref, %{state | ready: ready, rest: rest})
        {:ok, message}

      {:error, status} ->
        cancel(stream)
        {:error, status}
    end
  end

  defp fields(stream, state, deadline) do
    case Grpc.refusal(state.fields) do
      nil ->
        wait(stream, state, deadline)

      status ->
        cancel(stream)
        {:error, status}
    end
  end

  defp patience(%{deadline: mine}, deadline) do
    case {mine, deadline} do
      {:infinity, deadline} -> Attempt.left(deadline)
      {mine, :infinity} -> Attempt.left(mine)
      {mine, deadline} -> Attempt.left(min(mine, deadline))
    end
  end

  # The deadline of the call ends it; a shorter patience of this reader does not.
  defp timed_out(stream, state, _) do
    if Attempt.left(stream.deadline) == 0 do
      {:error, give_up(stream)}
    else
      put(stream.ref, state)
      {:error, Status.lost(:deadline_exceeded, "no message came in time; the call goes on", :client)}
    end
  end

  defp ended(stream, {:end, _} = ending, %{rest: rest}) when rest != <<>> do
    case ended(stream, ending) do
      {:end, _} -> {:error, Status.lost(:internal, "the answer ended in the middle of a message")}
      error -> error
    end
  end

  defp ended(stream, ending, _), do: ended(stream, ending)

  defp ended(%{ref: ref, deadline: deadline}, {:end, trailers}) do
    leave(ref)

    case Grpc.ending(trailers) do
      {:ok, metadata} -> {:end, metadata}
      {:error, status} -> {:error, overdue(status, deadline)}
    end
  end

  defp ended(%{ref: ref}, {:error, status}) do
    leave(ref)
    {:error, status}
  end

  @doc "A server may call a deadline that passed there a cancellation."
  @spec overdue(Status.t(), integer | :infinity) :: Status.t()
  def overdue(%{code: 1} = status, deadline) when deadline != :infinity do
    if Attempt.left(deadline) <= 5, do: %{status | code: Status.number(:deadline_exceeded)}, else: status
  end

  def overdue(status, _), do: status

  defp give_up(stream) do
    cancel(stream)
    Attempt.late()
  end

  defp down(ref, _, why) do
    leave(ref)
    %{Connection.ended(why) | sent: :maybe}
  end

  @doc "Gives the call up. Nothing of it comes any more."
  @spec cancel(t) :: :ok
  def cancel(%{ref: ref, connection: connection}) do
    if get(ref), do: Connection.cancel(connection, ref)
    leave(ref)
  end

  defp over, do: Status.lost(:failed_precondition, "the call is over, or belongs to another process", :client)

  # Without the alias nothing more can come; what has come is thrown away.
  defp leave(ref) do
    Process.delete({__MODULE__, ref})
    Process.demonitor(ref, [:flush])
    drain(ref)
  end

  defp drain(ref) do
    receive do
      {^ref, _} -> drain(ref)
    after
      0 -> :ok
    end
  end

  defp get(ref), do: Process.get({__MODULE__, ref})

  defp put(ref, state) do
    Process.put({__MODULE__, ref}, state)
    :ok
  end
end
