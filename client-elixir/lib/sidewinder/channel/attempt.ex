defmodule Sidewinder.Channel.Attempt do
  @moduledoc """
  One call and its tries. A try that no server has begun with, for certain, is followed by another: on another connection
  if its own has ended, after a short pause if the server is there and refused. A few times, or, for a caller that waits,
  for as long as it does. Anything else is an ending.

  The caller waits by its own clock, so that no connection, however stuck, can hold it longer than its deadline.
  """

  alias Sidewinder.Channel.{Breaker, Choice, Roster}
  alias Sidewinder.Connection
  alias Sidewinder.Wire.{Grpc, Status}

  # How often a call that was not sent is tried again, unless its caller waits.
  @retries 5
  # Connections that a call remembers to have tried. Those that are gone are chosen by nobody anyway.
  @remembered 8
  # What a refusal by a server that is there costs before the next try, in milliseconds.
  @pause 10

  # How early the clock of a server may find a deadline passed, in milliseconds.
  @early 5

  @type outcome(value) :: {:ok, value} | {:error, Status.t()}

  @doc "Runs `try` with a connection until it was sent, or ends otherwise."
  @spec run(atom, map, (pid, timeout -> outcome(value) | {:unsent, Status.t()})) :: outcome(value)
        when value: var
  def run(channel, call, try) do
    if left(call.deadline) == 0,
      do: {:error, Status.unsent(:deadline_exceeded, "the deadline had passed before the call began")},
      else: run(channel, call, try, [], @retries)
  end

  defp run(channel, call, try, tried, retries) do
    case connection(channel, call, tried) do
      {:ok, {connection, _, address, breaker}, limits, has} ->
        fuse = {channel, address, breaker}
        call = %{call | max: call.max || limits.max_message, window: limits.window, fuse: fuse}
        request = packed(call, address, has)
        outcome = told(try.(connection, request, left(call.deadline)), request)
        with {:unsent, status} <- outcome, do: again(channel, call, try, tried, retries, connection, status)

      {:error, status} ->
        {:error, status}
    end
  end

  # What is asked may depend on what is held where it is asked.
  defp packed(%{under: nil} = request, _, _), do: %{request | pack: nil}
  defp packed(%{pack: nil} = request, address, has), do: %{request | under: {address, has}}

  defp packed(%{pack: pack} = request, address, has) do
    {pieces, size} = Grpc.frame(pack.(has))
    %{request | pack: nil, under: {address, has}, pieces: pieces, size: size}
  end

  defp told({how, %Status{} = status}, request), do: {how, %{status | under: request.under}}
  defp told(outcome, _), do: outcome

  @doc "Tells the fuse of an address how a call there went."
  @spec learn({atom, term, Breaker.t() | nil}, :good | :bad) :: :ok
  def learn({_, _, nil}, _), do: :ok

  def learn({channel, address, breaker}, how) do
    case apply(Breaker, how, [breaker]) do
      :ok -> :ok
      changed -> Roster.fuse(channel, changed, address)
    end
  end

  @doc "What the ending of a call says about its address: lost by the transport, answered by the server, or nothing."
  @spec learn_from(Status.t(), {atom, term, Breaker.t() | nil}) :: :ok
  def learn_from(%{origin: :transport, sent: :maybe}, fuse), do: learn(fuse, :bad)
  def learn_from(%{origin: :peer}, fuse), do: learn(fuse, :good)
  def learn_from(_, _), do: :ok

  defp again(_, %{wait_until: nil}, _, _, 0, _, status), do: {:error, status}

  defp again(channel, call, try, tried, retries, connection, status) do
    cond do
      call.wait_until != nil and left(min(call.deadline, call.wait_until)) == 0 ->
        {:error, status}

      # A single stream was refused; the connection goes on.
      status.origin == :peer ->
        rest(min(:rand.uniform(@pause), left(call.deadline)))
        run(channel, call, try, tried, max(retries - 1, 0))

      true ->
        run(channel, call, try, Enum.take([connection | tried], @remembered), max(retries - 1, 0))
    end
  end

  defp rest(time) do
    receive do
    after
      time -> :ok
    end
  end

  @doc "Milliseconds until a deadline."
  @spec left(integer | :infinity) :: timeout
  def left(:infinity), do: :infinity
  def left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)

  defp connection(channel, call, tried) do
    case Choice.take(channel, tried, call.under) do
      {:ok, place, limits, has} -> {:ok, place, limits, has}
      :none -> wait(channel, call, tried)
      :no_channel -> {:error, Status.unsent(:unavailable, "there is no channel #{inspect(channel)}")}
    end
  end

  defp wait(channel, call, tried) do
    ref = monitor(channel)
    Roster.await(channel, ref, tried ++ Choice.closed_to(channel, call.under), call.wait_until != nil)

    receive do
      {^ref, :ready} -> connection(channel, call, tried)
      {^ref, {:error, status}} -> {:error, status}
      {:DOWN, ^ref, _, _, _} -> {:error, Status.unsent(:unavailable, "the channel was stopped")}
    after
      min(left(call.deadline), left(call.wait_until || :infinity)) ->
        Roster.forget(channel, ref)
        hush(ref)
        {:error, unready(left(call.deadline), Choice.why(channel))}
    end
  end

  defp unready(left, ""), do: unready(left)
  defp unready(left, why), do: left |> unready() |> Map.update!(:message, &"#{&1}: #{why}")

  defp unready(0), do: Status.unsent(:deadline_exceeded, "no connection became ready before the deadline")
  defp unready(_), do: Status.unsent(:unavailable, "no connection became ready in the time to wait", :transport)

  @doc "Asks a connection for an answer as a whole."
  @spec unary(pid, map, timeout) :: outcome({list, iodata, list, map}) | {:unsent, Status.t()}
  def unary(connection, request, timeout) do
    ref = monitor(connection)
    Connection.call(connection, ref, :unary, request)

    receive do
      {^ref, {:answer, fields, chunks, trailers}} ->
        learn(request.fuse, :good)
        {:ok, {fields, chunks, trailers, request}}

      {^ref, {:error, status}} ->
        learn_from(status, request.fuse)
        ending(status)

      {:DOWN, ^ref, _, _, why} ->
        status = Connection.ended(why)
        learn_from(status, request.fuse)
        ending(status)
    after
      timeout ->
        Connection.cancel(connection, ref, :quietly)
        hush(ref)
        {:error, late()}
    end
  end

  @doc "Not sent is for another try, all else for the caller."
  @spec ending(Status.t()) :: {:unsent | :error, Status.t()}
  def ending(%{sent: :no, origin: origin} = status) when origin != :client, do: {:unsent, status}
  def ending(status), do: {:error, status}

  @doc "The status of a call that came to its deadline."
  @spec late() :: Status.t()
  def late, do: Status.lost(:deadline_exceeded, "the deadline passed", :client)

  @doc "A server may call a deadline that passed there a cancellation."
  @spec overdue(Status.t(), integer | :infinity) :: Status.t()
  def overdue(%{code: 1, origin: :peer} = status, deadline) when deadline != :infinity do
    if left(deadline) <= @early, do: %{status | code: Status.number(:deadline_exceeded)}, else: status
  end

  def overdue(status, _), do: status

  @doc "Watches a process by a reference that it can answer to once."
  @spec monitor(pid | atom) :: reference
  def monitor(process), do: :erlang.monitor(:process, process, alias: :reply_demonitor)

  @doc "Watches it no more; an answer that is on its way falls to the ground."
  @spec hush(reference) :: :ok
  def hush(ref) do
    Process.demonitor(ref, [:flush])

    receive do
      {^ref, _} -> :ok
    after
      0 -> :ok
    end
  end
end
