defmodule Sidewinder.Proto do
  @moduledoc """
  The contract: every message of `sidewinder.v1`, made from the descriptors that the daemon itself serves.

  `sidewinder.v1.Call` is `Sidewinder.Proto.Call`, `google.protobuf.Duration` is `Sidewinder.Proto.Google.Duration`, and
  the details of a status are `Sidewinder.Proto.Google.Rpc.ErrorInfo` and its siblings. Most applications never see one:
  `Sidewinder` speaks in maps, `Sidewinder.Error` and plain values.

  The descriptors are two files in `priv`, written by `make proto` of the repository, where a test finds them stale when
  the contract has changed. They are read when the library is compiled, and by nothing later.
  """

  alias Sidewinder.Codec.{Descriptor, Making}

  priv = Path.expand("../../../priv", __DIR__)
  files = for name <- ["sidewinder.v1.bin", "google.rpc.bin"], do: Path.join(priv, name)
  for file <- files, do: @external_resource(file)
  read = for file <- files, do: Descriptor.read(File.read!(file))

  messages = read |> Enum.flat_map(& &1.messages) |> Enum.uniq_by(& &1.name)
  enums = read |> Enum.map(& &1.enums) |> Enum.reduce(&Map.merge/2)

  name_of = fn
    "sidewinder.v1." <> name -> Module.concat([__MODULE__ | String.split(name, ".")])
    "google.protobuf." <> name -> Module.concat([__MODULE__, Google | String.split(name, ".")])
    "google.rpc." <> name -> Module.concat([__MODULE__, Google, Rpc | String.split(name, ".")])
  end

  known = %{messages: Map.new(messages, &{&1.name, &1}), enums: enums}

  for message <- messages do
    Module.create(name_of.(message.name), Making.body(message, known, name_of), __ENV__)
  end

  @messages Map.new(messages, &{&1.name, name_of.(&1.name)})
  @enums enums
  @methods read
           |> Enum.flat_map(& &1.methods)
           |> Map.new(&{&1.path, %{&1 | request: name_of.(&1.request), response: name_of.(&1.response)}})

  @doc "The module of every message, by its name in the contract."
  @spec messages() :: %{String.t() => module}
  def messages, do: @messages

  @doc """
  The words of an enum and their numbers.

      iex> Sidewinder.Proto.words("sidewinder.v1.Priority")
      [PRIORITY_UNSPECIFIED: 0, PRIORITY_LOW: 1, PRIORITY_NORMAL: 2, PRIORITY_HIGH: 3]
  """
  @spec words(String.t()) :: [{atom, integer}]
  def words(enum), do: Map.fetch!(@enums, enum)

  @doc "Every method, by its path: the modules of its messages, and whether the request and the answer are streams."
  @spec methods() :: %{String.t() => %{request: module, response: module, streams: {boolean, boolean}}}
  def methods, do: @methods
end
