defmodule Sidewinder.Call.Flow do
  @moduledoc """
  Calls with many answers: `Stream` and `Converse`, as lazy enumerables.

  Nothing is asked before the enumerable is enumerated, and each enumeration is a call of its own. An item is fetched when
  it is wanted: a consumer that is slow stops the generator in Python, by way of the windows of the connection. A consumer
  that stops early, raises or dies cancels the call.

  What goes wrong raises `Sidewinder.Error`: an enumerable has no other way to say it. Before its first item a stream is
  tried again like a call; afterwards never.
  """

  alias Sidewinder.{Error, Lease, Proto, Value}
  alias Sidewinder.Call.{Again, Ask, Once, Span}

  @stream "/sidewinder.v1.Calls/Stream"
  @converse "/sidewinder.v1.Calls/Converse"

  @doc "Arguments in, items out."
  @spec stream((... -> Ask.t())) :: Enumerable.t()
  def stream(ask), do: Stream.resource(fn -> begin(ask.(), nil) end, &next/1, &leave/1)

  @doc "Inputs in, items out. The inputs are enumerated in a process of their own."
  @spec converse((... -> Ask.t()), Enumerable.t()) :: Enumerable.t()
  def converse(ask, inputs), do: Stream.resource(fn -> begin(ask.(), {:inputs, inputs}) end, &next/1, &leave/1)

  defp begin(ask, inputs) do
    flow = %{
      ask: ask,
      inputs: inputs,
      items: 0,
      reader: nil,
      tries: Again.none(),
      feeder: nil,
      stream: nil,
      failed: nil
    }

    flow = Map.merge(flow, %{begun: Span.start(ask), told: :atomics.new(1, [])})

    case Lease.here(ask.client, ask.deadline) do
      {:ok, said} -> flow |> Map.put(:said, said) |> open()
      {:error, error} -> fail(flow, %{error | tool: ask.tool})
    end
  end

  defp open(%{ask: ask} = flow) do
    %{transport: transport, channel: channel} = ask.client
    path = if flow.inputs, do: @converse, else: @stream

    case opened(flow, transport, channel, path) do
      {:ok, stream} -> feed(%{flow | stream: stream})
      {:error, status} -> again(flow, Ask.error(ask, status), status)
    end
  end

  defp opened(%{inputs: nil} = flow, transport, channel, path) do
    request = Ask.packed(flow.said, &Proto.CallRequest.encode(Ask.request(flow.ask, &1)))
    transport.open(channel, path, [request: request] ++ Ask.transport_options(flow.ask, flow.said))
  end

  defp opened(flow, transport, channel, path) do
    with {:ok, stream} <- transport.open(channel, path, Ask.transport_options(flow.ask, flow.said)),
         :ok <- transport.send(stream, Once.opening(flow.ask, stream, flow.said)),
         do: {:ok, stream}
  end

  # A conversation goes both ways at once. The feeder is linked, so that it never outlives the one who listens.
  defp feed(%{inputs: nil} = flow), do: flow

  defp feed(%{inputs: {:inputs, inputs}, ask: ask, stream: stream} = flow) do
    listener = self()
    callers = [listener | Process.get(:"$callers", [])]

    feeder =
      spawn_link(fn ->
        Process.put(:"$callers", callers)
        fed = push(ask, stream, inputs)
        # Whoever listens has this before it hears of the cancellation.
        send(listener, {:fed, self(), fed})
        if match?({:gave_up, _}, fed), do: ask.client.transport.cancel(stream)
      end)

    %{flow | feeder: feeder}
  end

  defp push(ask, stream, inputs) do
    fed =
      Enum.reduce_while(inputs, :ok, fn input, :ok ->
        case Once.push_one(ask, stream, input) do
          :ok -> {:cont, :ok}
          {:error, why} -> {:halt, {:error, why}}
        end
      end)

    case fed do
      :ok -> ask.client.transport.finish(stream)
      {:error, %Error{} = error} -> {:gave_up, {:error, error}}
      # The call has ended; whoever listens learns how.
      {:error, _status} -> :ok
    end
  catch
    kind, reason -> {:gave_up, {kind, reason, __STACKTRACE__}}
  end

  defp next(%{failed: nil, ask: ask} = flow) do
    case ask.client.transport.take(flow.stream, Proto.Item, ask.deadline) do
      {:ok, items} -> values(items, flow.reader, flow, [])
      {:end, _trailers} -> {:halt, %{flow | stream: nil}}
      {:unreadable, what} -> fail(flow, Ask.failure(ask, :undecodable, :data_loss, what))
      {:error, status} -> flow |> gave_up() |> again(Ask.error(ask, status), status) |> next()
    end
  end

  defp next(%{failed: error} = flow), do: fail(flow, error)

  # Items of one stream are of one type nearly always: what reads them is asked for once.
  defp values([%{value: %{content_type: type, data: data}} | items], {type, read} = reader, flow, values) do
    case read.(data) do
      {:ok, value} -> values(items, reader, flow, [value | values])
      # What came before an item that cannot be read is given first.
      {:error, what} -> values([], reader, %{flow | failed: Ask.unreadable(flow.ask, what)}, values)
    end
  end

  defp values([%{value: nil} | items], reader, flow, values), do: values(items, reader, flow, [nil | values])

  defp values([%{value: %{content_type: type}} | _] = items, _other, flow, values),
    do: values(items, {type, Value.reader(type, flow.ask.client.further)}, flow, values)

  defp values([], reader, flow, values),
    do: {:lists.reverse(values), %{flow | reader: reader, items: flow.items + length(values)}}

  # The feeder cancels the call when its inputs fail, and what they failed with is what the listener has to hear.
  defp gave_up(%{feeder: nil} = flow), do: flow

  defp gave_up(%{feeder: feeder} = flow) do
    receive do
      {:fed, ^feeder, {:gave_up, {:error, error}}} ->
        fail(flow, error)

      {:fed, ^feeder, {:gave_up, {kind, reason, stack}}} ->
        leave(flow)
        :erlang.raise(kind, reason, stack)
    after
      0 -> flow
    end
  end

  defp again(%{items: 0, inputs: nil} = flow, error, status) do
    case Again.decide(flow.ask, error, Ask.used(status, flow.said), flow.tries) do
      {:again, pause, said, tries} ->
        Span.pause(flow.ask, error, pause, tries)
        open(%{flow | said: said, tries: tries, stream: nil})

      {:stop, error} ->
        fail(%{flow | stream: nil}, error)
    end
  end

  defp again(flow, error, _status), do: fail(%{flow | stream: nil}, error)

  defp fail(flow, error) do
    clear(flow)
    stop(flow, {:error, error})
    raise error
  end

  defp leave(flow) do
    clear(flow)
    stop(flow, {:ok, nil})
  end

  # A flow that fails is left as well, and ends once.
  defp stop(flow, ending) do
    if :atomics.exchange(flow.told, 1, 1) == 0,
      do: Span.stop(flow.ask, flow.begun, ending, flow.tries.tried, flow.items)

    :ok
  end

  defp clear(flow) do
    if flow.stream, do: flow.ask.client.transport.cancel(flow.stream)
    if flow.feeder, do: dismiss(flow.feeder)
    :ok
  end

  defp dismiss(feeder) do
    Process.unlink(feeder)
    Process.exit(feeder, :kill)

    receive do
      {:fed, ^feeder, _} -> :ok
    after
      0 -> :ok
    end

    receive do
      {:EXIT, ^feeder, _} -> :ok
    after
      0 -> :ok
    end
  end
end
